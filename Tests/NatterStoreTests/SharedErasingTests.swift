import NatterLog
import NatterModel
import NatterSystem
import StoreSupport
import SystemSupport
import TestSupport
import Testing

@testable import NatterStore

/// Erasing and retention by several servers of one store in a real PostgreSQL.
@Suite("erasing on servers of one store")
struct SharedErasingTests {
    /// A word that stands in no other text.
    private static let secret = "Xylophonkonzert-7731"
    private static let day: Int64 = 86_400_000

    let cluster: PostgresCluster
    let uri: String
    let directory: TemporaryDirectory

    init() throws {
        cluster = try .shared()
        uri = try cluster.makeDatabase()
        directory = try TemporaryDirectory()
    }

    private func server(_ name: String) throws -> TestStore {
        let (shared, cache) = (try SharedStore(uri), directory(name))
        let clock = TestClock(Timestamp(milliseconds: 1_795_000_000_000), stepMilliseconds: 1)
        return try TestStore(cache, clock: clock) { options in
            var options = options
            options.keepsSearchIndex = true
            return try Store.open(shared, cache: cache, clock: clock, options: options)
        }
    }

    @discardableResult
    private static func erase(_ seqs: UInt64..., at server: TestStore, in name: String = "general") throws -> Int {
        try waitFor { server.store.erase(seqs.map { Seq($0)...Seq($0) }, in: name, by: "alice", $0) }.get()
    }

    private static func retain(_ days: Int?, at server: TestStore) throws -> RetentionView {
        try waitFor { server.store.setRetention(Retention(days: days), of: "general", by: "test", $0) }.get()
    }

    /// The tables of the database and the files of the servers that hold a text.
    private func holders(of text: String = secret) throws -> [String] {
        let hex = text.utf8.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
        let condition = "position(%L in r::text)>0 OR position(%L in r::text)>0"
        let count = "format('SELECT count(*) AS c FROM %I r WHERE \(condition)', table_name, '\(hex)', '\(text)')"
        let tables = try cluster.query(
            "SELECT table_name FROM information_schema.tables WHERE table_schema='public' AND "
                + "(xpath('//c/text()', query_to_xml(\(count), false, true, '')))[1]::text::int>0", in: uri)
        let files = Files.below(directory.path).filter {
            Files.bytes($0)?.firstRange(of: Array(text.utf8)) != nil
        }
        return tables + files
    }

    private func damages() throws -> [StoreDamage] {
        var damages: [StoreDamage] = []
        _ = try SharedStore(uri).check(in: directory("fsck")) { damages.append($0) }
        return damages
    }

    @Test("what is erased at one server is gone from the database, from all servers' files, and for all readers")
    func everywhere() throws {
        let (one, two) = (try server("one"), try server("two"))
        // Given a log of two files, the first with the text from which the dictionary of the second is made
        try one.fill(900)
        try one.post([Self.secret], key: "k")
        try one.fill(40, label: "between")
        try two.store.catchUp()
        try two.seal()
        try two.fill(2_000, label: "later")
        try one.store.catchUp()
        try one.seal()
        try two.post(["tail", Self.secret], by: "bob", key: "b")
        try one.post(["of another conversation"], to: "@bob")
        try one.store.catchUp()
        let before = try one.all()
        let holders = try holders()
        #expect(holders.contains("log_piece") && holders.contains("log"))
        var reader = SyncModel()
        try reader.sync(two, as: "bob", limitBytes: 1 << 20)
        // When both are erased at one server
        #expect(try Self.erase(901, 2_943, at: one) == 2)
        // Then the other server shows it at once, and nobody has the text
        try two.store.catchUp()
        for server in [one, two] {
            let after = try server.all()
            #expect(after.map(\.cursor) == before.map(\.cursor) && after.map(\.time) == before.map(\.time))
            #expect(after.filter(\.isErased).map(\.seq) == [Seq(901), Seq(2_943)])
            #expect(after.filter { !$0.isErased } == before.filter { $0.text != Self.secret })
            for (name, key) in [("alice", "k"), ("bob", "b:1")] {
                let again = try server.post(["something else"], by: name, key: key).first
                #expect(again?.isRepeated == true && again?.message?.isErased == true, "\(name)")
            }
        }
        try eventually("nobody holds the text") { try self.holders() == [] }
        // And all goes on
        try reader.sync(one, as: "bob", limitBytes: 1 << 20)
        #expect(reader.messages.values.flatMap { $0 }.filter(\.isErased).map(\.seq) == [Seq(901), Seq(2_943)])
        try two.post(["after it"])
        try one.store.catchUp()
        let all = try one.all()
        #expect(all.count == before.count + 1)
        for server in [one, two] {
            try server.reopen()
            #expect(try server.all() == all)
        }
        #expect(try damages().isEmpty)
        #expect(try cluster.query("SELECT count(*) FROM retired", in: uri) == ["0"])
        #expect((one.reports.lines + two.reports.lines).isEmpty, "\(one.reports.lines + two.reports.lines)")
    }

    @Test("of two servers that write the same new file, the slower one takes no file away that has messages")
    func sameFile() throws {
        let (one, two) = (try server("one"), try server("two"))
        try one.seal(after: 300)
        try two.store.catchUp()
        let id = try one.store.conversation("general", for: try one.user("alice")).id
        let next = Segment.name(of: id, firstSeq: Seq(1), generation: 1)
        // Given a file that one of them is about to write, the other does not take it for its own
        try one.store.noteRetired([next])
        #expect(throws: StoreError.busy) { try two.store.noteRetired([next]) }
        try one.store.noteRetired([next])
        // Nor one that is there
        #expect(throws: StoreError.busy) {
            try two.store.noteRetired([Segment.name(of: id, firstSeq: Seq(1), generation: 0)])
        }
        // When it is noted as new although it is recorded
        try cluster.query(
            "INSERT INTO retired (path,node) SELECT f.path,n.id FROM log_file f, node n ON CONFLICT DO NOTHING", in: uri
        )
        func finish() throws {
            for server in [one, two] {
                let isDone = Monitor(false)
                let store = server.store
                let isTaken = store.sealer.submit { _ in
                    store.finishErasing([id])
                    isDone.signal { $0 = true }
                }
                #expect(isTaken)
                _ = isDone.wait { $0 ? true : nil }
            }
            // Then it stays
            for server in [one, two] {
                try server.reopen()
                #expect(try server.all().count == 300)
            }
            #expect(try damages().isEmpty)
        }
        try finish()
        #expect(
            try cluster.query(
                "SELECT count(*) FROM retired WHERE number IS NULL AND path IN (SELECT path FROM log_file)", in: uri)
                == ["0"])
        // Nor does it go if somebody has noted it as replaced
        try cluster.query("INSERT INTO retired (path,node,number) SELECT path,1,1 FROM log_file", in: uri)
        try finish()
    }

    @Test("messages that are due go at all servers, with their files, and the first number rises at each")
    func retention() throws {
        let (one, two) = (try server("one"), try server("two"))
        try one.fill(3_000, label: "old")
        try one.post([Self.secret])
        try one.seal()
        for server in [one, two] { server.clock.advance(milliseconds: 40 * Self.day) }
        try two.fill(50, label: "new")
        try two.seal()
        try one.store.catchUp()
        let all = try one.all()
        #expect(try Self.retain(35, at: two).first == Seq(3_002))
        for server in [one, two] {
            try server.store.catchUp()
            #expect(try server.all() == Array(all.suffix(50)))
            #expect(try server.store.conversation("general", for: try server.user("alice")).first == Seq(3_002))
        }
        try eventually("nobody holds the text") {
            try holders() == [] && holders(of: "old 2999") == []
        }
        // A tail that is due goes, too, and an empty log goes on at each server
        for server in [one, two] { server.clock.advance(milliseconds: 20 * Self.day) }
        one.store.use(Retention(days: 15))
        #expect(try one.post(["tail"]).first?.message?.seq == Seq(3_052))
        one.clock.advance(milliseconds: 20 * Self.day)
        let general = one.store.state.withLock { $0.general }
        try waitFor { done in one.store.dropDueMessages(of: [general]) { _ in done(()) } }
        try two.store.catchUp()
        #expect(try two.store.conversation("general", for: try two.user("alice")).first == Seq(3_053))
        #expect((one.reports.lines + two.reports.lines).isEmpty, "\(one.reports.lines + two.reports.lines)")
        #expect(try two.post(["next"]).first?.message?.seq == Seq(3_053))
        for server in [one, two] {
            try server.reopen()
            #expect(try server.all().map(\.text) == ["next"])
        }
        #expect(try damages().isEmpty)
    }

    @Test("an account's texts go wherever it wrote, and its own writes at other servers are refused from then on")
    func account() throws {
        let (one, two) = (try server("one"), try server("two"))
        _ = try two.user("bob")
        try one.post([Self.secret])
        try two.post([Self.secret], to: "@bob")
        try two.post(["of bob"], by: "bob")
        let principal = try two.user("alice")
        #expect(try waitFor { one.store.eraseAccount("alice", by: "operator", $0) }.get() == 2)
        let late = NewMessage(conversation: "general", text: "late", key: nil)
        #expect(two.post([late], by: principal).first?.refusal == .unauthorized)
        try eventually("nobody holds the text") { try self.holders() == [] }
        #expect(try two.all(as: "bob").map(\.text) == ["", "of bob"])
        // The other remembers it as well: after a recovery of the database, the directory of the first may be gone
        func remembered(_ name: String) throws -> Set<RememberedErasures.Entry> {
            Set(try RememberedErasures(directory(name) + "/shared", PosixDisk()).entries())
        }
        let erased = try remembered("one")
        #expect(erased.count == 3)
        try eventually("the other server remembers it") { try remembered("two").isSuperset(of: erased) }
    }

    @Test("an erased account has no address any more, whatever servers saw later")
    func addressOfAccount() throws {
        let address = "192.0.2.77"
        let (one, two) = (try server("one"), try server("two"))
        _ = try two.user("alice")
        let token = try two.token("alice")
        one.store.savePresence()
        func erase() throws { _ = try waitFor { one.store.eraseAccount("alice", by: "operator", $0) }.get() }
        func addresses() throws -> [String] {
            let inMemory = try [one, two].flatMap { server in
                try server.store.catchUp()
                return server.store.accountViews().compactMap(\.lastAddress)
            }
            let rows = "SELECT last_address FROM account WHERE last_address IS NOT NULL"
            return try inMemory + cluster.query(rows, in: uri).filter { !$0.isEmpty }
        }
        // Given a server that saw the account later, and has not saved that
        two.clock.advance(milliseconds: 60_000)
        #expect(two.store.principal(of: token, address: address) != nil)
        // When another one erases it
        try erase()
        #expect(try addresses() == [])
        two.store.savePresence()
        #expect(try addresses() == [] && holders(of: address) == [])
        try two.reopen()
        #expect(try addresses() == [])
    }

    @Test("a server that slept longer than the others wait loads anew and has nothing of what was erased")
    func asleep() throws {
        let (one, two) = (try server("one"), try server("two"))
        try one.post(["first", Self.secret, "third"])
        try two.store.catchUp()
        #expect(try two.all().map(\.text) == ["first", Self.secret, "third"])
        // Given a server whose thread stands still
        let (sleeps, wakes) = (Monitor(false), Monitor(false))
        let sleeper = try SystemThread(name: "sleeper") {
            try? two.store.upkeep { _ in
                sleeps.signal { $0 = true }
                _ = wakes.wait { $0 ? true : nil }
            }
        }
        _ = sleeps.wait { $0 ? true : nil }
        #expect(try Self.erase(2, at: one) == 1)
        #expect(try holders() != [])
        // When the minute is over that the others wait for it
        try eventually("nobody but the sleeper holds the text") {
            try cluster.query(
                "UPDATE node SET seen=seen-interval '2 minutes' WHERE read<(SELECT max(read) FROM node)", in: uri)
            one.store.eraseDue()
            return try holders().allSatisfy { $0.contains("/two/") }
        }
        wakes.signal { $0 = true }
        sleeper.join()
        try two.store.catchUp()
        #expect(try two.all().map(\.text) == ["first", "", "third"])
        try eventually("the sleeper has nothing left") { try holders() == [] }
        #expect(try two.post(["fourth"]).first?.message?.seq == Seq(4))
        #expect(try damages().isEmpty)
    }

    @Test("a check finds nothing wrong with files that wait until all have read of it, or that a server writes")
    func checkMeanwhile() throws {
        let one = try server("one")
        try one.seal(after: 900)
        // Given a server that has not read of an erasure
        try cluster.query("INSERT INTO node VALUES (7,'asleep',now()+interval '55 seconds',0)", in: uri)
        #expect(try Self.erase(7, at: one) == 1)
        #expect(try cluster.query("SELECT count(*) FROM retired", in: uri) != ["0"])
        #expect(try damages().isEmpty)
        // and that writes a file, whose first bytes are not there yet at first
        try cluster.query("INSERT INTO log_file (path) VALUES ('ab/ab/new.log')", in: uri)
        #expect(try damages().isEmpty)
        try cluster.query(
            "INSERT INTO log_piece (file,start,node,data) SELECT id,0,7,'x' FROM log_file WHERE path='ab/ab/new.log'",
            in: uri)
        #expect(try damages().isEmpty)
        // When that server is dead, nobody will record the file
        try cluster.query("DELETE FROM node WHERE id=7", in: uri)
        #expect(try damages().map { "\($0.problem)" } == ["the index does not know this file"])
    }

    @Test("two servers that erase the same at once, while both write, lose nothing and leave nothing")
    func race() throws {
        let servers = [try server("one"), try server("two")]
        try servers[0].seal(after: 300)
        try servers[0].fill(100, label: "tail")
        try servers[1].store.catchUp()
        let before = try servers[1].all()
        let erased = Monitor(0)
        let threads = try servers.map { server in
            try SystemThread(name: "eraser") {
                for seq in stride(from: UInt64(10), to: 400, by: 78) {
                    _ = try? server.post(["meanwhile"])
                    let count = (try? Self.erase(seq, at: server)) ?? 0
                    erased.withLock { $0 += count }
                }
            }
        }
        for thread in threads { thread.join() }
        #expect(erased.withLock { $0 } == 5)
        for server in servers {
            try server.store.catchUp()
            let after = try server.all()
            #expect(after.prefix(400).map(\.cursor) == before.map(\.cursor))
            #expect(after.filter(\.isErased).map(\.seq.rawValue) == [10, 88, 166, 244, 322])
            #expect(after.suffix(10).map(\.text) == Array(repeating: "meanwhile", count: 10) && after.count == 410)
        }
        try eventually("no file is left that nothing names") {
            for server in servers { server.store.eraseDue() }
            let counts = try cluster.query("SELECT count(*) FROM log_file;\nSELECT count(*) FROM segment", in: uri)
            return counts.first == counts.last
        }
        #expect(try damages().isEmpty)
    }

    /// All writes fail from the n-th on, except those by which a server says that it is alive.
    private func stop(after writes: Int) throws {
        try cluster.query("CREATE SEQUENCE write", in: uri)
        try cluster.query(
            "CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF nextval('write')>\(writes) THEN "
                + "RAISE EXCEPTION 'stopped'; END IF; RETURN NULL; END $$", in: uri)
        for table in [
            "log", "log_file", "log_piece", "segment", "block", "dictionary", "erasure", "retired", "sent_key",
        ] {
            try cluster.query(
                "CREATE TRIGGER stop BEFORE INSERT OR UPDATE OR DELETE ON \(table) FOR EACH STATEMENT EXECUTE FUNCTION stop()",
                in: uri)
        }
    }

    @Test(
        "after a kill at any step, the message is there or erased, and the next erasure leaves nothing of it anywhere",
        arguments: Array(stride(from: 0, through: 42, by: 3)))
    func kills(step: Int) throws {
        let (one, two) = (try server("one"), try server("two"))
        try one.fill(900)
        try one.post([Self.secret], key: "k")
        try one.fill(200, label: "later")
        try one.seal()
        try one.post(["tail", Self.secret])
        try two.store.catchUp()
        let before = try two.all()
        // When a server writes nothing more from some step on, and ends without a word
        try stop(after: step)
        _ = try? Self.erase(901, 1_103, at: one)
        let known = try cluster.query("SELECT id FROM node", in: uri)
        one.store.close()
        for id in known {
            try cluster.query(
                "INSERT INTO node VALUES (\(id),'dead',now()-interval '2 minutes',0) ON CONFLICT (id) DO NOTHING",
                in: uri)
        }
        try cluster.query("DROP FUNCTION stop CASCADE", in: uri)
        // Then the other has all, and can do it, and so can a start of the first
        try two.store.catchUp()
        let found = try two.all()
        #expect(found.map(\.cursor) == before.map(\.cursor))
        let erased = Set(found.filter(\.isErased).map(\.seq))
        #expect(erased.isSubset(of: [Seq(901), Seq(1_103)]))
        #expect(found.filter { !$0.isErased } == before.filter { !erased.contains($0.seq) })
        try Self.erase(901, 1_103, at: two)
        try one.reopen()
        for server in [one, two] {
            try server.store.catchUp()
            #expect(try server.all().filter(\.isErased).map(\.seq) == [Seq(901), Seq(1_103)])
        }
        try eventually("nobody holds the text") {
            two.store.eraseDue()
            return try holders() == []
        }
        #expect(try damages().isEmpty)
    }

    @Test("a copy to a directory and back keeps what was erased and what is not kept, and sets nothing free again")
    func copies() throws {
        let source = directory("source")
        let files = try TestStore(source)
        try files.fill(2_000, label: "old")
        try files.seal()
        files.clock.advance(milliseconds: 80 * Self.day)
        try files.post(["one", Self.secret, "three"], key: "k")
        #expect(try Self.retain(70, at: files).first == Seq(2_001))
        try Self.erase(2_002, at: files)
        let all = try files.all()
        files.store.close()
        _ = try StoreCopy.run(from: source, to: SharedStore(uri)) { _ in }
        func check(_ store: TestStore) throws {
            #expect(try store.all() == all)
            #expect(try store.store.conversation("general", for: try store.user("alice")).first == Seq(2_001))
            #expect(try store.post(["else"], key: "k:1").first?.message?.isErased == true)
            #expect(try Self.erase(2_002, at: store) == 0)
            #expect(store.reports.lines == [])
        }
        let server = try server("one")
        try check(server)
        // A message that is erased there is erased in the next copy, too.
        try Self.erase(2_003, at: server)
        server.store.close()
        let back = directory("back")
        _ = try StoreCopy.run(from: SharedStore(uri), to: back)
        let again = try TestStore(back)
        #expect(try again.all().map(\.text) == ["one", "", ""])
        let remembered = try RememberedErasures(back, PosixDisk()).entries().compactMap {
            if case .message(let message) = $0 { message.seq } else { nil }
        }
        #expect(remembered == [Seq(2_002), Seq(2_003)])
        again.store.close()
        var damages: [StoreDamage] = []
        _ = try StoreCheck.run(back) { damages.append($0) }
        #expect(damages.isEmpty)
        #expect(try holders() == [])
    }
}
