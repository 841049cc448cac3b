import Testing
import TestSupport

@Suite(
    "natterd backup, restore and fsck",
    .enabled(if: !PostgresCluster.servesTests, "a store in PostgreSQL has no such files"))
struct BackupCommandTests {
    /// A store with one message, and `natterd` for it.
    private func store() throws -> (directory: TemporaryDirectory, data: String) {
        let directory = try TemporaryDirectory()
        let (data, file) = (directory("data"), try directory.write("in", line(1, "a", "text")))
        #expect(natterd("import", "--old", "general", file, "--data", data).code == 0)
        return (directory, data)
    }

    @Test("a place where no directory can be made is 73 for a backup and for a restore")
    func noPlace() throws {
        let (directory, data) = try store()
        let (file, copy) = (directory("in"), directory("copy"))
        #expect(natterd("backup", copy, "--data", data).code == 0)
        for place in [file, file + "/below", "/proc/nowhere"] {
            let backup = natterd("backup", place, "--data", data)
            #expect(backup.code == 73, "\(place): \(backup.errors)")
            let restore = natterd("restore", copy, "--data", place, "--yes")
            #expect(restore.code == 73, "\(place): \(restore.errors)")
        }
    }

    @Test("a line of natterd.conf that is no setting keeps nobody from checking and copying a store")
    func badLine() throws {
        let (directory, data) = try store()
        _ = try directory.write("data/natterd.conf", "retain 90d\n= x\nlimit-messages = many\n")
        #expect(natterd("fsck", "--data", data).code == 0)
        #expect(natterd("fsck", "--repair", "--data", data).code == 0)
        #expect(natterd("backup", directory("copy"), "--data", data).code == 0)
        // A command that would act as a server does needs its settings.
        let status = natterd("user", "list", "--data", data)
        #expect(status.code == 78 && status.errors.contains("line 1"), "\(status.errors)")
    }

    @Test("a backup of a database that can't be read names it, and not the copy")
    func damagedDatabase() throws {
        let (directory, data) = try store()
        _ = try directory.write("data/store.db", Array(repeating: UInt8(ascii: "x"), count: 50_000))
        let outcome = natterd("backup", directory("copy"), "--data", data)
        #expect(outcome.code == 74)
        #expect(outcome.errors.contains("'\(data)/store.db'"), "\(outcome.errors)")
        #expect(!outcome.errors.contains("store.db.new"), "\(outcome.errors)")
    }
}
