import NatterSQLite
import SystemSupport
import TestSupport
import Testing

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
}
