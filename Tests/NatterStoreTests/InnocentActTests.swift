import Glibc
import NatterModel
import NatterSystem
import StoreSupport
import Testing
import TestSupport

@testable import NatterStore

/// An administrator may do these things to a data directory and mean no harm.
@Suite("innocent acts of an administrator", .aboutFiles)
struct InnocentActTests {
    private let home: TemporaryDirectory
    private let disk = PosixDisk()
    private var path: String { home("data") }

    init() throws { home = try TemporaryDirectory() }

    private func rename(_ path: String, to target: String) throws { try disk.rename(path, to: target) }

    @Test("no file that can be deleted beside a running store lets a second process in")
    func deletedLock() throws {
        let store = try TestStore(path)
        try store.post(["one"])
        for name in try disk.list(path) where name != "logs" { try disk.remove(path + "/" + name) }
        for attempt in [
            { _ = try Store.open(path) }, { _ = try StoreCheck.run(path) { _ in } },
            { _ = try StoreRebuild.run(path, .reindex) },
        ] {
            let error = #expect(throws: StoreOpenError.self) { try attempt() }
            #expect(error.map { if case .locked = $0 { true } else { false } } == true, "\(String(describing: error))")
        }
    }

    @Test(
        "a directory that is moved, even if another takes its place, refuses messages until it is back, and says so",
        arguments: [false, true])
    func moved(isReplaced: Bool) throws {
        let store = try TestStore(path)
        try store.post(["one"])
        try rename(path, to: home("moved"))
        if isReplaced { try disk.makeDirectory(path) }
        #expect(try store.post(["two"]).first?.refusal == .directoryMoved)
        #expect(store.store.troubles() == [.directoryMoved(path)])
        if isReplaced {
            #expect(try disk.list(path).isEmpty)
            try rename(path, to: home("other"))
        }
        try rename(home("moved"), to: path)
        #expect(try store.post(["three"]).first?.message?.seq == Seq(2))
        #expect(store.store.troubles() == [])
        // And a store that ends elsewhere begins there with everything
        try rename(path, to: home("moved"))
        store.store.close()
        #expect(try TestStore(home("moved")).all().map(\.text) == ["one", "three"])
    }

    @Test("a store that every user of the machine can read is named, with what to do")
    func worldReadable() throws {
        let store = try TestStore(path)
        try store.post(["one"])
        func warnings() -> [String] { store.reports.lines.filter { $0.contains("every user") } }
        // Behind a directory that lets nobody in, the modes of files say nothing
        try store.reopen { chmod($0 + "/store.db", 0o644) }
        #expect(warnings() == [])
        try store.reopen { chmod($0, 0o755) }
        #expect(warnings() == ["every user of this machine can read '\(path)/store.db'; run 'chmod -R go= \(path)'"])
        try store.reopen { chmod($0 + "/store.db", 0o600) }
        #expect(warnings().count == 1)
    }
}
