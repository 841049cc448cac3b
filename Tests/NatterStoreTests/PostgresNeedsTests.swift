import NatterModel
import StoreSupport
import SystemSupport
import TestSupport
import Testing

@testable import NatterStore

/// The requirements of a server for its PostgreSQL, and its refusals.
@Suite("what servers need of PostgreSQL")
final class PostgresNeedsTests: PostgresSuite {
    @Test("a role with the rights that natter-postgresql(7) names runs servers, and can't make tables")
    func leastRights() throws {
        // Given the tables, made by their owner, and what the page says
        try TestStore(database: uri).store.close()
        let role = "run_" + (uri.split(separator: "/").dropFirst().first?.split(separator: "?").first ?? "")
        let page = try #require(Files.text(Programs.packageRoot + "/man/natter-postgresql.7"))
        let lines = page.split(separator: "\n").filter { $0.hasSuffix(";") && $0.contains("natterd_run") }
        #expect(lines.count == 4)
        let sql = lines.joined(separator: "\n").replacing("natterd_run", with: role).replacing(
            "natterd", with: "natter")
        try cluster.query(sql, in: uri)
        // When servers run with that role
        let theirs = uri.replacing("user=natter", with: "user=\(role)")
        let servers = try (0..<2).map { _ in try TestStore(database: theirs, journalBytes: 64 << 10) }
        for server in servers {
            try server.seal(after: 600)
        }
        try servers[0].store.catchUp()
        #expect(try waitFor { servers[0].store.erase([Seq(7)...Seq(7)], in: "general", by: "test", $0) }.get() == 1)
        _ = try waitFor { servers[1].store.setRetention(Retention(days: 1), of: "general", by: "test", $0) }.get()
        try servers[1].reopen()
        #expect(servers.allSatisfy { $0.reports.lines.isEmpty }, "\(servers.map(\.reports.lines))")
        try servers[1].store.catchUp()
        #expect(try servers[1].all().count == 1_200)
        // Then all works, and a right that is missing is named
        try cluster.query("REVOKE INSERT ON log_piece FROM \(role)", in: uri)
        try servers[0].post(["more"])
        #expect(throws: StoreError.self) { try servers[0].seal() }
        #expect(servers[0].reports.contains("permission denied for table log_piece"), "\(servers[0].reports.lines)")
        // Another store can't be made, and none begins where it may not write
        let empty = try cluster.makeDatabase().replacing("user=natter", with: "user=\(role)")
        try refuses { _ = try TestStore(database: empty) }
        let files = try TemporaryDirectory()
        try TestStore(files.path).store.close()
        try refuses { _ = try StoreCopy.run(from: files.path, to: SharedStore(empty)) { _ in } }
        try cluster.query("REVOKE INSERT ON log FROM \(role)", in: uri)
        try refuses { _ = try TestStore(database: theirs) }
    }

    /// Expects that a database is refused because of what it lacks.
    private func refuses(_ words: String = "", _ body: () throws -> Void) throws {
        do { try body() } catch StoreOpenError.unfit(let phrase) {
            #expect(words.isEmpty || phrase.english.contains(words), "\(phrase)")
            return
        }
        throw Failure("it was not refused")
    }

    @Test("a schema that is missing, forbidden, of another program or incomplete is refused, and the words say which")
    func otherSchemas() throws {
        let files = try TemporaryDirectory()
        try TestStore(files.path).store.close()
        func refused(_ uri: String, _ words: String) throws {
            try refuses(words) { _ = try TestStore(database: uri) }
            try refuses(words) { _ = try StoreCopy.run(from: files.path, to: SharedStore(uri)) { _ in } }
        }
        try refused(uri + "&options=-csearch_path%3Dnowhere", "search_path")
        try cluster.query("CREATE TABLE account (name text)", in: uri)
        try refused(uri, "relation \"account\" already exists")
        #expect(try cluster.query("SELECT tablename FROM pg_tables WHERE schemaname='public'", in: uri) == ["account"])
        try cluster.query("DROP TABLE account", in: uri)
        try TestStore(database: uri).store.close()
        let role = "no_usage_" + (uri.split(separator: "/").dropFirst().first?.split(separator: "?").first ?? "")
        try cluster.query("CREATE ROLE \(role) LOGIN;\nREVOKE ALL ON SCHEMA public FROM public", in: uri)
        try refused(uri.replacing("user=natter", with: "user=\(role)"), "USAGE")
        // Also those that are asked for only when somebody logs in, or a file goes
        for table in ["block", "store", "guess", "log_piece", "retired"] {
            let database = try cluster.makeDatabase(copying: uri)
            try cluster.query("DROP TABLE \(table)", in: database)
            try refuses("\"\(table)\" does not exist") { _ = try TestStore(database: database) }
            let cache = try TemporaryDirectory()
            try refuses("\"\(table)\" does not exist") { _ = try SharedStore(database).check(in: cache.path) { _ in } }
            try refuses("\"\(table)\" does not exist") {
                _ = try StoreCopy.run(from: SharedStore(database), to: cache("copy"))
            }
        }
    }

    @Test("a store whose log or id is gone is damaged, even an empty one, and nothing is put in their place")
    func emptied() throws {
        try TestStore(database: uri).store.close()
        let places = "SELECT (SELECT count(*) FROM log), (SELECT count(*) FROM store)"
        for (sql, words, left) in [
            ("DELETE FROM store", "lost its id", "0"), ("DELETE FROM log", "is empty", "1"),
            ("DELETE FROM conversation", "is empty", "1"),
        ] {
            let database = try cluster.makeDatabase(copying: uri)
            if sql.hasSuffix("conversation") { try cluster.query("DELETE FROM log", in: database) }
            try cluster.query(sql, in: database)
            let failure = #expect(throws: StoreOpenError.self) { _ = try TestStore(database: database) }
            guard case .damaged(let phrase) = failure else { throw Failure("\(failure, default: "it opened")") }
            #expect(phrase.english.contains(words))
            let directory = try TemporaryDirectory()
            var damages: [StoreDamage] = []
            #expect(try SharedStore(database).check(in: directory.path) { damages.append($0) }.damages == 1)
            #expect(damages.first?.problem.english.contains(words) == true, "\(damages)")
            #expect(try cluster.query(places, in: database).first?.hasSuffix(left) == true)
        }
    }

    @Test("a database in another encoding is refused before it gets tables")
    func encoding() throws {
        let name = "latin_\(uri.dropFirst("postgresql:///".count).prefix { $0 != "?" })"
        try cluster.query(
            "CREATE DATABASE \(name) TEMPLATE template0 ENCODING 'LATIN1'", in: cluster.uri("postgres"))
        let uri = cluster.uri(name)
        try refuses { _ = try TestStore(database: uri) }
        let files = try TemporaryDirectory()
        try TestStore(files.path).store.close()
        try refuses { _ = try StoreCopy.run(from: files.path, to: SharedStore(uri)) { _ in } }
        #expect(try cluster.query("SELECT count(*) FROM pg_tables WHERE schemaname='public'", in: uri) == ["0"])
    }

    @Test("a database that may forget what it acknowledged is refused")
    func unfit() throws {
        try cluster.query(
            "ALTER DATABASE \(uri.dropFirst(14).prefix { $0 != "?" }) SET synchronous_commit=off", in: uri)
        let failure = #expect(throws: StoreOpenError.self) { _ = try TestStore(database: uri) }
        guard case .unfit = failure else { throw Failure("refused for another reason: \(failure, default: "")") }
    }

    @Test(
        "a URI must name a database and hold no password",
        arguments: [
            "", "/var/lib/natterd", "postgresql://alice:secret@db/natter", "postgresql://db?nonsense=1",
            "postgresql://db/natter?sslpassword=secret",
        ])
    func malformed(text: String) throws {
        let failure = #expect(throws: StoreOpenError.self) { _ = try SharedStore(text) }
        guard case .malformed = failure else { throw Failure("refused for another reason") }
        #expect(!"\(failure, default: "")".contains("secret"))
    }

    @Test(
        "the certificate of another machine is verified, however the URI names that machine",
        arguments: [
            ("db.example.org/natter", true), ("localhost/natter?hostaddr=192.0.2.1", true),
            ("localhost,db/natter", true), ("db/natter?sslmode=require", false), ("localhost/natter", false),
            ("/natter", false), ("?service=natter", false), ("127.0.0.1/natter", false),
            ("127.example.org/natter", true),
        ])
    func verified(place: String, isVerified: Bool) throws {
        let target = try PostgresTarget("postgresql://" + place)
        #expect((target.settings["sslmode"] == "verify-full") == isVerified)
        #expect(target.settings["target_session_attrs"] == "read-write")
    }

    @Test(
        "a password in a URI is refused and not repeated, also where the URI is malformed",
        arguments: [
            "natter:SECRET@localhost/natter", "natter:SECRET%zz@localhost/natter", "natter:SECRET%@localhost/natter",
            "localhost/natter?password=SECRET%zz",
        ])
    func password(place: String) throws {
        let failure = #expect(throws: PostgresTarget.Malformed.self) { try PostgresTarget("postgresql://" + place) }
        let words = failure?.phrase.english ?? ""
        #expect(words.contains("~/.pgpass") && !words.contains("SECRET"), "\(words)")
    }
}
