internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

@Suite("natterd serve --store")
struct SharedServeTests {
    let directory: TemporaryDirectory
    let uri: String

    init() throws {
        directory = try TemporaryDirectory()
        uri = try PostgresCluster.shared().makeDatabase()
    }

    func serve(_ name: String) throws -> Daemon {
        try Daemon(data: directory(name), options: ["--store", uri])
    }

    func register(_ name: String, at server: Daemon) throws -> Person {
        let person = Person(name: name, home: directory(name), server: server.url)
        try expect(person.enter("register", name))
        return person
    }

    @Test("a token that nobody has keeps nobody else waiting while PostgreSQL does not answer")
    func silentDatabase() throws {
        let cluster = try PostgresCluster()
        let server = try Daemon(
            data: directory("data"), options: ["--store", try cluster.makeDatabase(), "--log-level", "debug"])
        defer { cluster.thaw() }
        try cluster.freeze()
        // Given a request whose token might have been made at another server, and bulk
        let headers = ["Authorization: Bearer \(String(repeating: "A", count: 42))w"]
        let bulk = headers + ["Content-Type: application/x-ndjson"]
        let strangers = try [RawClient(server.url), RawClient(server.url)]
        strangers[0].sendRequest("GET", "/v1/whoami", headers: headers)
        strangers[1].sendRequest("POST", "/v1/messages", headers: bulk, body: Array("{}\n".utf8))
        // When others ask for what needs no database
        for _ in 0..<3 { #expect(try RawRequest.send("GET", "/", to: server.url).status == 200) }
        // Then they had their answers before the strangers
        for client in strangers {
            var descriptor = pollfd(fd: client.descriptor, events: Int16(POLLIN), revents: 0)
            #expect(poll(&descriptor, 1, 0) == 0)
        }
        cluster.thaw()
        for client in strangers { #expect(try client.answer().status == 401) }
        #expect(server.stop().code == 0)
        cluster.stop(SIGINT)
    }

    @Test("a token is good at another server at once, also if that slept while it was made")
    func youngToken() throws {
        let (one, two) = (try serve("one"), try serve("two"))
        // Given a server that sleeps while a token is made
        one.process.freeze()
        let alice = try register("alice", at: two)
        let headers = ["Authorization: Bearer \(try alice.token())", "Content-Type: application/x-ndjson"]
        let lines = (1...3_000).map { "{\"conversation\":\"general\",\"text\":\"\($0)\"}\n" }.joined()
        let clients = try (0..<4).map { _ in try RawClient(one.url) }
        for (number, client) in clients.enumerated() {
            if number % 2 == 0 {
                client.sendRequest("POST", "/v1/messages", headers: headers, body: Array(lines.utf8))
            } else {
                client.sendRequest("GET", "/v1/search?q=alice", headers: headers)
            }
        }
        // When it wakes up
        one.process.signal(SIGCONT)
        // Then all is answered
        for client in clients { #expect(try client.answer().status == 200) }
        #expect(try alice.texts("log").count == 6_000)
        #expect(one.stop().code == 0 && two.stop().code == 0)
    }

    /// A command of natterd beside the server of that name.
    private func command(_ words: [String], beside name: String) throws -> Outcome {
        try Daemon.run(words + ["--data", directory(name)], home: directory.path, environment: ["NATTERD_STORE": uri])
    }

    @Test("two servers share one store: readers wait at one for what is sent at the other, and one may be killed")
    func share() throws {
        let (one, two) = (try serve("one"), try serve("two"))
        let alice = try register("alice", at: one)
        let bob = try register("bob", at: two)
        try alice.sends("hello")
        #expect(try bob.texts("log") == ["hello"])
        let waiting = try bob.start(["log", "-f", "--format", "%m"])
        #expect(try waiting.line() == "hello")
        try alice.sends("news")
        #expect(try waiting.line() == "news")
        try bob.sends("seen")
        #expect(try alice.texts("log") == ["hello", "news", "seen"])

        _ = one.stop(SIGKILL)
        let elsewhere = Person(name: "alice", home: alice.home, server: two.url)
        try elsewhere.sends("still here")
        #expect(try waiting.line() == "seen")
        #expect(try waiting.line() == "still here")
        waiting.finish(after: SIGINT)
        // The cache of the killed server may be lost.
        try FileManager.default.removeItem(atPath: directory("one"))
        let again = try serve("one")
        let back = Person(name: "alice", home: alice.home, server: again.url)
        #expect(try back.texts("log") == ["hello", "news", "seen", "still here"])
        #expect(again.stop().code == 0 && two.stop().code == 0)
    }

    @Test("commands find the store with a server and without; those for files say what to use instead")
    func commands() throws {
        let one = try serve("one")
        let alice = try register("alice", at: one)
        try alice.sends("hello")
        // A backup of the log files alone would lack what is in none yet.
        try expect(
            Daemon.run(["--data", directory("one"), "backup", directory("backup")], home: directory.path), 64,
            "natter-postgresql(7)")
        for _ in 0..<2 {
            let list = try command(["user", "list"], beside: "one")
            #expect(list.code == 0 && list.output.contains("alice"), "\(list.errors)")
            let export = try command(["export", "general"], beside: "one")
            #expect(export.code == 0 && export.output.contains("hello"), "\(export.errors)")
            let fsck = try command(["fsck"], beside: "one")
            #expect(fsck.code == 0 && fsck.output.isEmpty, "\(fsck.output)\(fsck.errors)")
            let status = try command(["status"], beside: "one")
            #expect(status.code == 0 && status.output.contains("this one"), "\(status.errors)")
            for words in [["backup", directory("backup")], ["reindex"], ["fsck", "--repair"]] {
                try expect(command(words, beside: "one"), 64, "natter-postgresql(7)")
            }
            _ = one.stop()
        }
    }

    @Test("a command that reads says that the database is away, instead of telling what the server remembers")
    func away() throws {
        let cluster = try PostgresCluster.shared()
        let one = try serve("one")
        try register("alice", at: one).sends("hello")
        let name = try #require(cluster.query("SELECT current_database()", in: uri).first)
        func admit(_ isAllowed: Bool) throws {
            try cluster.query("ALTER DATABASE \"\(name)\" ALLOW_CONNECTIONS \(isAllowed)", in: cluster.uri("postgres"))
        }
        try admit(false)
        try cluster.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname='\(name)'",
            in: cluster.uri("postgres"))
        for words in [["user", "list"], ["clients"], ["export", "general"]] {
            let outcome = try command(words, beside: "one")
            #expect(outcome.code == 75 && outcome.output == "", "\(words) \(outcome.output)")
            #expect(outcome.errors.contains("database"), "\(outcome.errors)")
        }
        try admit(true)
        try eventually("the commands answer again") { try command(["user", "list"], beside: "one").code == 0 }
        #expect(try command(["export", "general"], beside: "one").output.contains("hello"))
    }

    /// The tables that hold a text, also as hexadecimal digits of bytes.
    private func holders(of text: String) throws -> [String] {
        let hex = text.utf8.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
        let cluster = try PostgresCluster.shared()
        let tables = try cluster.query(
            "SELECT table_name FROM information_schema.tables WHERE table_schema='public'", in: uri)
        let counts = tables.map { "SELECT '\($0)' FROM \"\($0)\" r WHERE r::text ~ '\(hex)|\(text)'" }
        return try cluster.query(counts.joined(separator: " UNION "), in: uri)
    }

    @Test("a server or a command may be killed while it erases: the next erasure leaves nothing, and all else stays")
    func killedErasures() throws {
        let secret = "Xylophonkonzert-9914"
        let lines = (1...900).map { number in
            JSON.line(
                ts: 1_600_000_000_000 + number, sender: "old",
                text: number.isMultiple(of: 150) ? "\(secret) \(number)" : "message \(number)")
        }
        try expectSuccess(
            Daemon.run(
                ["import", "--old", "general", "-", "--data", directory("one")], home: directory.path,
                environment: ["NATTERD_STORE": uri], input: .text(lines.joined())))
        func export() throws -> [String] { try command(["export", "general"], beside: "two").lines }
        let before = try export()
        #expect(try before.count == 900 && !holders(of: secret).isEmpty)
        for number in stride(from: 150, through: 900, by: 150) {
            // The command asks the server, or is a node of its own.
            let server = number.isMultiple(of: 300) ? try serve("one") : nil
            let eraser = try ChildProcess(
                Programs.path("natterd"),
                ["erase", "general", "\(number)", "--data", directory("one"), "--store", uri],
                environment: ["HOME": directory.path, "PATH": "/usr/bin:/bin", "SWIFT_BACKTRACE": "enable=no"],
                input: .nothing)
            usleep(.random(in: 20_000...600_000))
            if let server { _ = server.stop(SIGKILL) } else { eraser.signal(SIGKILL) }
            _ = eraser.finish()
            let after = try export()
            #expect(after.count == 900)
            for (line, former) in zip(after, before) where line != former { #expect(former.contains(secret)) }
        }
        // The other servers wait a minute for one that is dead.
        try PostgresCluster.shared().query("UPDATE node SET seen=seen-interval '2 minutes'", in: uri)
        let numbers = stride(from: 150, through: 900, by: 150).map { "\($0)" }
        try expectSuccess(command(["erase", "general"] + numbers, beside: "one"))
        let after = try export()
        for (line, former) in zip(after, before) { #expect((line == former) == !former.contains(secret)) }
        #expect(after.count == 900 && !after.joined().contains(secret))
        try eventually("no row holds the text") {
            if try holders(of: secret).isEmpty { return true }
            _ = try command(["erase", "general", "150"], beside: "one")
            return false
        }
        let fsck = try command(["fsck"], beside: "one")
        #expect(fsck.code == 0 && fsck.output.isEmpty, "\(fsck.output)\(fsck.errors)")
    }

    @Test("wrong passwords count at all servers together, also while they are tried at once")
    func guesses() throws {
        let servers = [try serve("one"), try serve("two")]
        _ = try register("alice", at: servers[0])
        let urls = servers.map(\.url)
        @Sendable func login(_ password: String, _ server: Int, as name: String = "alice") throws -> Answer {
            try RawRequest.send(
                "POST", "/v1/login", to: urls[server], headers: ["Content-Type: application/json"],
                body: Array("{\"name\":\"\(name)\",\"password\":\"\(password)\"}".utf8))
        }
        // A correct password does not count.
        for number in 0..<11 { #expect(try login(World.password, number % 2).status == 200) }
        let answers = Shared<[Int]>([])
        func count(_ status: Int) -> Int { answers.withLock { $0.count { $0 == status } } }
        DispatchQueue.concurrentPerform(iterations: 24) { number in
            let status = (try? login("wrong password", number % 2))?.status ?? 0
            answers.withLock { $0.append(status) }
        }
        for _ in 0..<100 where count(401) < 10 {
            let status = try login("wrong password", count(401) % 2).status
            answers.withLock { $0.append(status) }
        }
        #expect(count(401) == 10 && count(0) == 0)
        for number in 0..<2 {
            let refused = try login(World.password, number)
            let seconds = refused.header("retry-after").flatMap { Int($0) } ?? 0
            #expect(refused.status == 429 && seconds > 60 && seconds <= 300, "\(refused)")
            #expect(try login("wrong password", number, as: "bob").status == 401)
        }
    }

    private func copy(_ from: String, _ to: String) throws -> Outcome {
        try Daemon.run(["copy", "--from", from, "--to", to], home: directory.path)
    }

    @Test("a store moves into a database and out again: the same log files, sessions, cursors, replicas and ids")
    func copy() throws {
        let world = try World()
        let cursor = directory("cursor")
        try world.alice.sends("one", "two")
        try world.bob.sends("for alice", to: "@alice")
        _ = try world.alice.run(["send", "--quiet", "--id", "k", "three"])
        let lines = (1...1_500).map { JSON.line(ts: 1_600_000_000_000 + $0, sender: "old", text: "message \($0)") }
        try world.importGeneral(lines.joined())
        _ = try world.alice.run(["send", "--quiet", "--id", "k2", "four"])
        #expect(try world.bob.texts("log", "--cursor-file", cursor).count == 1_504)
        let busy = try copy(world.data, uri)
        #expect(busy.code == 75, "\(busy.errors)")
        world.stopServing()

        for (from, to, options) in [(world.data, uri, ["--store", uri]), (uri, directory("back"), [])] {
            try expectSuccess(copy(from, to))
            let again = try copy(from, to)
            #expect(again.code == (options.isEmpty ? 73 : 78), "\(again.errors)")
            let server = try Daemon(data: directory(options.isEmpty ? "back" : "cache"), options: options)
            if !options.isEmpty { #expect(try copy(uri, directory("served")).code == 78) }
            let alice = world.alice.at(server.url)
            let bob = world.bob.at(server.url)
            for id in ["k", "k2"] {
                try expectSuccess(alice.run(["send", "--id", id, id == "k" ? "three" : "four"]))
            }
            #expect(try bob.texts("log", "--cursor-file", cursor) == [])
            try alice.sends("at \(to)")
            let news = try bob.run(["log", "--cursor-file", cursor, "--format", "%m"])
            #expect(news.lines == ["at \(to)"] && news.errors.isEmpty, "\(news.errors)")
            #expect(try alice.texts("log", "--from", "bob", "@bob") == ["for alice"])
            #expect(server.stop().code == 0)
            let fsck = try Daemon.run(
                ["fsck", "--data", directory(options.isEmpty ? "back" : "cache")] + options, home: directory.path)
            #expect(fsck.code == 0, "\(fsck.output)\(fsck.errors)")
        }
        let difference = try ChildProcess(
            "/usr/bin/diff", ["-r", "-x", "epoch", world.data + "/logs", directory("back") + "/logs"], environment: [:]
        ).finish()
        #expect(difference.code == 0, "\(difference.output)\(difference.errors)")
        let compared = try FileManager.default.subpathsOfDirectory(atPath: directory("back") + "/logs")
        #expect(compared.contains { $0.hasSuffix(".log") })
    }

    @Test(
        "a copy that is killed in the middle is not served, and the next one into the same place is whole",
        arguments: [true, false])
    func killed(isToDatabase: Bool) throws {
        let cluster = try PostgresCluster.shared()
        let world = try World()
        try world.importGeneral(JSON.line(ts: 1_600_000_000_000, sender: "old", text: "in a log file"))
        try world.alice.sends("one", "two")
        world.stopServing()
        if isToDatabase {
            // Given the tables of a store, but no store
            try expectSuccess(
                Daemon.run(["user", "list", "--data", directory("none"), "--store", uri], home: directory.path))
            let tables = try cluster.query(
                "SELECT table_name FROM information_schema.tables WHERE table_schema='public' "
                    + "AND table_name<>'schema_step'", in: uri)
            try cluster.query("TRUNCATE \(tables.joined(separator: ","))", in: uri)
        } else {
            #expect(try copy(world.data, uri).code == 0)
        }
        let (from, to) = isToDatabase ? (world.data, uri) : (uri, directory("back"))
        let place = isToDatabase ? ["--data", directory("cache"), "--store", uri] : ["--data", to]
        for table in ["account", "log_piece"] {
            // When it waits for a table, it is killed
            let holder = try cluster.hold(table, in: uri)
            let copying = try ChildProcess(
                Programs.path("natterd"), ["copy", "--from", from, "--to", to],
                environment: ["HOME": directory.path, "PATH": "/usr/bin:/bin", "SWIFT_BACKTRACE": "enable=no"])
            try eventually("the copy waits for '\(table)'") {
                try cluster.query(
                    "SELECT 1 FROM pg_stat_activity WHERE datname=current_database() AND wait_event_type='Lock'",
                    in: uri) == ["1"]
            }
            copying.finish(after: SIGKILL)
            holder.finish(after: SIGKILL)
            try cluster.query(
                "SELECT count(pg_terminate_backend(pid,30000)) FROM pg_stat_activity "
                    + "WHERE datname=current_database() AND pid<>pg_backend_pid()", in: uri)
            // Then no server takes what is there
            for command in [["serve", "--listen", "127.0.0.1:0"], ["user", "list"]] {
                try expect(Daemon.run(command + place, home: directory.path), 74, "'natterd copy'", isSilent: false)
            }
        }
        try expectSuccess(copy(from, to))
        let export = try Daemon.run(["export", "general"] + place, home: directory.path)
        #expect(export.lines.count == 3, "\(export.errors)")
        #expect(try Daemon.run(["fsck"] + place, home: directory.path).code == 0)
    }

    @Test(
        "a server that runs says so and ends with 78 when a newer natterd has changed the tables, or written what it does not know",
        arguments: [
            "INSERT INTO schema_step VALUES (1000)",
            """
            INSERT INTO log (number,commit_number,node,attempt,chain,data)
            SELECT max(number)+1,max(commit_number)+1,7,1,decode(repeat('00',32),'hex'),decode('ff000000ff','hex') FROM log
            """,
        ])
    func outdated(change: String) throws {
        let one = try serve("one")
        _ = try register("alice", at: one)
        try PostgresCluster.shared().query(change, in: uri)
        #expect(one.process.finish().code == 78)
        let log = Files.text("\(directory("one")).log") ?? ""
        #expect(log.contains("write_failed") && log.contains("newer natterd"), "\(log)")
        let start = try command(["status"], beside: "one")
        #expect(start.code == 78, "\(start.errors)")
    }

    @Test("a server whose database has become another store serves nothing of that, and ends with 78")
    func otherStore() throws {
        let cluster = try PostgresCluster.shared()
        let (one, other) = (try serve("one"), try cluster.makeDatabase())
        try register("alice", at: one).sends("hello")
        try expectSuccess(
            Daemon.run(["user", "list", "--data", directory("none"), "--store", other], home: directory.path))
        let names = [uri, other].map { $0.dropFirst("postgresql:///".count).prefix { $0 != "?" } }
        for statement in [
            "ALTER DATABASE \(names[0]) ALLOW_CONNECTIONS false",
            "SELECT count(pg_terminate_backend(pid,30000)) FROM pg_stat_activity "
                + "WHERE datname IN ('\(names[0])','\(names[1])')",
            "ALTER DATABASE \(names[0]) RENAME TO \(names[0])_former",
            "ALTER DATABASE \(names[1]) RENAME TO \(names[0])",
        ] { try cluster.query(statement, in: cluster.uri("postgres")) }
        #expect(one.process.finish().code == 78)
        let log = Files.text("\(directory("one")).log") ?? ""
        #expect(log.contains("write_failed") && log.contains("another store"), "\(log)")
    }
}
