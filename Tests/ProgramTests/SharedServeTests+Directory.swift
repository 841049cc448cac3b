internal import Foundation
internal import Testing
internal import TestSupport

/// The data directory of a server whose store is in PostgreSQL.
extension SharedServeTests {
    @Test("a command that names another store than the server on its directory has changes neither")
    func storeOfAnother() throws {
        let (one, other) = (try serve("one"), try PostgresCluster.shared().makeDatabase())
        let alice = try register("alice", at: one)
        try alice.sends("stays")
        let files = try Daemon(data: directory("files"))
        for (name, named) in [("one", other), ("files", uri)] {
            for words in [["erase", "general", "1", "--yes"], ["user", "list"], ["status"]] {
                for (more, environment) in [(["--store", named], [:]), ([], ["NATTERD_STORE": named])] {
                    try expect(
                        Daemon.run(
                            words + more + ["--data", directory(name)], home: directory.path, environment: environment),
                        64, "has another store")
                }
            }
        }
        let named = try Daemon.run(["status", "--data", directory("one"), "--store", uri], home: directory.path)
        #expect(named.code == 0 && named.output.contains("running"), "\(named)")
        #expect(try alice.texts("log") == ["stays"])
        _ = files.stop()
    }

    @Test("no server of files starts in the directory of one whose store is in PostgreSQL, nor the other way round")
    func oneDirectory() throws {
        let (one, files) = (try serve("one"), try Daemon(data: directory("files")))
        for words in [["--data", directory("one")], ["--data", directory("files"), "--store", uri]] {
            try expect(Daemon.run(["serve", "--listen", "127.0.0.1:0"] + words, home: directory.path), 75)
        }
        for name in ["one", "files"] {
            let status = try Daemon.run(["status", "--data", directory(name)], home: directory.path)
            #expect(status.code == 0 && status.output.contains("running"), "\(status)")
        }
        #expect(one.stop().code == 0 && files.stop().code == 0)
    }

    @Test("without --store no command begins a store of files in the directory of a server that has stopped")
    func cacheOfStopped() throws {
        let one = try serve("one")
        _ = try register("alice", at: one)
        #expect(one.stop().code == 0)
        let words = ["--data", directory("one")]
        let password = try directory.write("password", World.password + "\n")
        for command in [
            ["serve", "--listen", "127.0.0.1:0"], ["user", "add", "joe", "--password-file", password],
            ["user", "list"],
            ["status"],
        ] {
            try expect(Daemon.run(command + words, home: directory.path), 78, "in PostgreSQL; name that with --store")
        }
        for command in [["reindex"], ["fsck", "--repair"], ["backup", directory("backup")]] {
            try expect(Daemon.run(command + words, home: directory.path), 64, "in PostgreSQL, whose own tools")
        }
        let list = try Daemon.run(["user", "list", "--store", uri] + words, home: directory.path)
        #expect(list.code == 0 && list.output.contains("alice"), "\(list)")
    }
}
