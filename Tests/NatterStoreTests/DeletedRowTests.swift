import NatterModel
import NatterSQLite
import NatterSystem
import StoreSupport
import SystemSupport
import TestSupport
import Testing

@testable import NatterStore

@Suite("deleted rows of a database")
struct DeletedRowTests {
    @Test(
        "leave no piece in the database or its write-ahead log once their table is written anew",
        arguments: seeds(1...4))
    func pieces(seed: UInt64) throws {
        let disk = SimulatedDisk(clock: TestClock(), records: false)
        try disk.makeDirectory("/data")
        let connection = try Connection(path: "/data/test.db", role: .writer, disk: disk)
        let tables = ["row", "pair"]
        try connection.execute(
            """
            CREATE TABLE row (key INTEGER PRIMARY KEY, text TEXT);
            CREATE TABLE pair (key INTEGER PRIMARY KEY, text TEXT) WITHOUT ROWID;
            """)
        var generator = SeededGenerator(seed: seed)
        func insert(_ word: String) throws {
            let table = tables[generator.int(0...1)]
            let text = String(repeating: word + " ", count: generator.int(1...200))
            try connection.statement("INSERT OR REPLACE INTO \(table) VALUES (?,?)")
                .run(generator.int(0...99_999), text)
        }
        // Given rows with a secret among others, which pages share and then divide
        for _ in 0..<1_000 {
            try connection.transaction { try insert(generator.once(in: 2) ? "secret" : "plain") }
        }
        // When they are deleted, the tables are written anew, the log is moved into the database, and others follow
        for table in tables {
            try connection.execute("DELETE FROM \(table) WHERE text LIKE 'secret%'")
            try connection.transaction { try connection.rewrite(table) }
        }
        try connection.checkpoint(.truncating)
        for _ in 0..<40 { try insert("plain") }
        // Then neither file holds any piece of them, and both tables are whole
        for (path, bytes) in disk.image.files() {
            #expect(bytes.firstRange(of: Array("ecret ".utf8)) == nil, "in \(path)")
        }
        let check = try connection.statement("PRAGMA integrity_check")
        #expect(try check.step() && check.text(0) == "ok")
    }

    @Test(
        "of a journal leave no piece of an erased text, whatever was trimmed and sealed before", .aboutFiles,
        arguments: seeds(1...4))
    func journal(seed: UInt64) throws {
        let secret = "Xylophonkonzert-7731"
        let store = try TestStore(users: ["alice", "bob", "carol"])
        var generator = SeededGenerator(seed: seed)
        func tidy() {
            let isDone = Monitor(false)
            let commit = store.store.state.withLock { $0.commit }
            _ = store.store.sealer.submit { writer in
                store.store.sealer.clearJournal(upTo: commit, store.store, writer)
                isDone.signal { $0 = true }
            }
            _ = isDone.wait { $0 ? true : nil }
        }
        // Given texts of all lengths in several conversations, whose rows come and go
        var secrets: [ClosedRange<Seq>] = []
        for _ in 0..<200 {
            let isSecret = generator.once(in: 3)
            let conversation = isSecret ? "general" : ["general", "@bob", "@carol"][generator.int(0...2)]
            let text = String(repeating: (isSecret ? secret : "plain") + " ", count: generator.int(1...150))
            let message = try store.post([text], to: conversation).first?.message
            if isSecret, let seq = message?.seq { secrets.append(seq...seq) }
            if generator.once(in: 20) { tidy() }
            if generator.once(in: 40) { try store.seal() }
        }
        let left = try store.all("@bob")
        // When they are erased while others are written
        let count = try waitFor { store.store.erase(secrets, in: "general", by: "alice", $0) }.get()
        // Then no file has a piece of them, and the others are there
        #expect(count == secrets.count)
        #expect(Files.holding(piecesOf: secret, below: store.directory) == [])
        try store.reopen()
        #expect(try store.all("@bob") == left)
        #expect(Files.holding(piecesOf: secret, below: store.directory) == [])
    }
}
