import NatterArchive
import NatterSystem
import SystemSupport
import Testing

@Suite("log files that must go")
struct RetiredFilesTests {
    @Test("a removal that could not be synced is synced by the next attempt, although the file is gone by then")
    func unsynced() throws {
        let disk = SimulatedDisk()
        try disk.makeDirectories("/data/logs")
        try disk.replaceContents(of: "/data/logs/old", with: [1, 2, 3])
        let files = RetiredFiles(directory: "/data", disk: disk)
        disk.set(fault: DiskFault([.syncDirectory], code: 5, lasts: false))
        #expect(throws: DiskError.self) { try files.wipe("logs/old") }
        #expect(try disk.information("/data/logs/old") == nil)
        // Without a sync, the file may be back after a power loss
        disk.set(fault: DiskFault([.syncDirectory], number: 1_000, code: 5, lasts: false))
        try files.wipe("logs/old")
        #expect(disk.matchingCalls == 1)
        // A directory that is gone, too, is no error
        try files.wipe("logs/none/old")
    }
}
