import NatterModel
import NatterSQLite
import StoreSupport
import TestSupport
import Testing

@testable import NatterStore

/// A newer natterd may have used the directory: its tables can have more than this program knows, which would be lost.
@Suite("a store of a newer natterd", .aboutFiles)
struct NewerStoreTests {
    private static let uses: [(String, @Sendable (_ store: String, _ other: String) throws -> Void)] = [
        ("start", { store, _ in try Store.open(store).close() }),
        ("check", { store, _ in _ = try StoreCheck.run(store) { _ in } }),
        ("repair", { store, _ in _ = try StoreRebuild.run(store, .repair) }),
        ("reindex", { store, _ in _ = try StoreRebuild.run(store, .reindex) }),
        ("backup", { store, other in _ = try StoreBackup.run(store, to: other) }),
    ]

    @Test("is refused by every use of it, and left as it is", arguments: uses.indices)
    func refused(use: Int) throws {
        // Given a store whose database has taken a step that this program does not know
        let directory = try TemporaryDirectory()
        let path = directory("data")
        func take(_ steps: Int) throws {
            let connection = try Connection(path: Store.databasePath(path), role: .writer)
            try connection.execute("PRAGMA user_version=\(Schema.version(of: connection) + steps)")
        }
        do {
            let store = try TestStore(path)
            try store.post(["kept"])
            store.store.close()
        }
        try take(1)
        let before = Files.below(path).filter { !$0.hasSuffix("-wal") && !$0.hasSuffix("-shm") }.sorted()
        // When an older program uses it
        let error = #expect(throws: StoreOpenError.self) { try Self.uses[use].1(path, directory("other")) }
        // Then it says so, and the newer program finds everything as it was
        guard case .newer(let phrase)? = error else { throw Failure("\(String(describing: error))") }
        #expect(phrase.english.contains("was made by a newer natter"))
        #expect(Files.below(path).filter { !$0.hasSuffix("-wal") && !$0.hasSuffix("-shm") }.sorted() == before)
        #expect(Files.mode(directory("other")) == nil)
        try take(-1)
        let again = try TestStore(path)
        #expect(try again.all().map(\.text) == ["kept"])
        #expect(again.reports.lines == [])
    }
}
