import NatterModel
import NatterSQLite
import NatterProtocol
import Testing
import TestSupport

@testable import NatterClient

@Suite("an outbox of an earlier natter")
struct EarlierOutboxTests {
    /// The steps as they were published, with the column that each has added. They never change.
    private static let published: [(sql: String, column: String?)] = [
        (
            """
            CREATE TABLE entry (
                number INTEGER PRIMARY KEY AUTOINCREMENT,
                queued INTEGER NOT NULL,
                conversation TEXT NOT NULL,
                id TEXT NOT NULL UNIQUE,
                text TEXT NOT NULL,
                code TEXT,
                reason TEXT
            );
            CREATE INDEX entry_waiting ON entry (number) WHERE code IS NULL;
            """, nil
        ),
        ("ALTER TABLE entry ADD COLUMN about INTEGER;", "about"),
        ("ALTER TABLE entry ADD COLUMN tried INTEGER;", "tried"),
        ("ALTER TABLE entry ADD COLUMN conversation_id TEXT;", "conversation_id"),
        ("ALTER TABLE entry ADD COLUMN kind TEXT;", "kind"),
        (
            """
            CREATE TABLE file (
                entry INTEGER NOT NULL,
                place INTEGER NOT NULL,
                path TEXT NOT NULL,
                name TEXT NOT NULL,
                size INTEGER NOT NULL,
                digest BLOB NOT NULL,
                PRIMARY KEY (entry, place)
            ) WITHOUT ROWID;
            """, nil
        ),
    ]
    private static let group = ConversationID(high: 1, low: 2)
    private static let time = Timestamp(milliseconds: 1_700_000_000_000)

    /// An outbox with a message that waits and one that was refused. Both have a value in each column that there is.
    private func outbox(_ directory: TemporaryDirectory, steps: Int) throws -> Outbox {
        let values = ["about": "7", "tried": "5", "conversation_id": "'\(Self.group)'", "kind": "'edit'"]
        let columns = Self.published.prefix(steps).compactMap(\.column)
        let names = columns.map { ",\($0)" }.joined()
        let row = columns.map { ",\(values[$0] ?? "NULL")" }.joined()
        try directory.write("outbox.db", [])
        let connection = try Connection(path: directory("outbox.db"), role: .writer)
        for step in Self.published.prefix(steps) { try connection.execute(step.sql) }
        try connection.execute(
            """
            PRAGMA user_version=\(steps);
            INSERT INTO entry (queued,conversation,id,text,code,reason\(names))
            VALUES (1,'crew','a','waits',NULL,NULL\(row)),(2,'crew','b','refused','blocked','no'\(row));
            """)
        return Outbox(OutboxLocation(directory: directory.path))
    }

    private func entries(_ outbox: Outbox) throws -> [OutboxEntry] {
        var found: [OutboxEntry] = []
        try outbox.forEach { entry in
            found.append(entry)
            return true
        }
        return found
    }

    @Test("every step is known here, as it was published")
    func isComplete() { #expect(Outbox.schema.steps == Self.published.map(\.sql)) }

    @Test("is read and changed like a new one, and nothing in it is lost", arguments: 1...5)
    func opens(steps: Int) throws {
        let directory = try TemporaryDirectory()
        let outbox = try outbox(directory, steps: steps)
        // When it is read, then each entry is there with all that it had
        let found = try entries(outbox)
        #expect(found.map(\.number) == [1, 2] && found.map(\.queued.milliseconds) == [1, 2])
        #expect(found.map(\.request.id) == ["a", "b"] && found.map(\.request.text) == ["waits", "refused"])
        #expect(found.map(\.state) == [.waiting, .refused(code: "blocked", reason: "no")])
        for entry in found {
            #expect(entry.request.conversation == "crew")
            #expect(entry.request.about == (steps > 1 ? 7 : nil))
            #expect(entry.tried == (steps > 2 ? Timestamp(milliseconds: 5) : nil))
            #expect(entry.request.conversationID == (steps > 3 ? Self.group : nil))
            #expect(entry.request.kind == (steps > 4 ? "edit" : nil))
        }
        #expect(try outbox.counts() == (waiting: 1, refused: 1))
    }

    @Test("can be changed before anything has read it", arguments: 1...5)
    func changes(steps: Int) throws {
        let directory = try TemporaryDirectory()
        let outbox = try outbox(directory, steps: steps)
        // When a message is added that has all there is today, and the refused one is tried again
        let new = SendRequest(
            conversation: "crew", conversationID: Self.group, text: "new", id: "c", kind: "edit", about: 3)
        #expect(try outbox.add([new], at: Self.time, mayHaveArrived: true).map(\.isNew) == [true])
        #expect(try outbox.retry([]) == [2])
        // Then all wait in their order
        let found = try entries(outbox)
        #expect(found.map(\.request.text) == ["waits", "refused", "new"])
        #expect(found.allSatisfy { $0.state == .waiting })
        let last = try #require(found.last)
        #expect((last.request.conversationID, last.request.kind, last.request.about) == (Self.group, "edit", 3))
        #expect(last.tried == Self.time)
    }
}
