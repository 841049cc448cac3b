internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

/// Writers and readers of one conversation while servers are killed again and again, and what they saw.
@Suite("the history that many see while servers are killed")
struct HistoryTests {
    /// How often the server is killed: `NATTER_KILLS`, 25 unless given; `NATTER_KILLS_SEED` says when.
    private static let kills = number(inEnvironment: "NATTER_KILLS") ?? 25
    private static let seed: UInt64 = number(inEnvironment: "NATTER_KILLS_SEED") ?? 1
    /// How often servers of a shared store are killed, and PostgreSQL half as often: `NATTER_SHARED_KILLS`.
    private static let sharedKills = number(inEnvironment: "NATTER_SHARED_KILLS") ?? 2
    /// How many entries readers follow from server to server: `NATTER_SHARED_COMMITS`.
    private static let sharedCommits = number(inEnvironment: "NATTER_SHARED_COMMITS") ?? 500

    @Test(
        "16 writers and 16 readers: numbers are dense, writers read their writes, no read is undone",
        arguments: [seed])
    func linearizable(seed: UInt64) throws {
        let world = try World()
        let tokens = try ["alice", "bob", "carol"].map { try world.person($0).token() }
        let history = History([world.url], tokens: tokens)
        history.start(writers: 16, pages: 16, syncs: 0)
        // When the server is killed at random moments
        var generator = SeededGenerator(seed: seed)
        var slowest = 0.0
        for _ in 0..<HistoryTests.kills {
            usleep(UInt32.random(in: 20_000...250_000, using: &generator))
            world.killServer()
            let began = Date()
            try world.serve()
            slowest = max(slowest, Date().timeIntervalSince(began))
            history.move(0, to: world.url)
        }
        usleep(100_000)
        history.finish()
        // Then all saw one history, without a hole
        world.stopServing()
        #expect(try world.natterd("fsck").code == 0)
        let exported = try world.natterd("export", "general").objects().map { $0[string: "text"] ?? "" }
        #expect(history.judge(exported).isEmpty, "\(history.judge(exported).prefix(5))")
        print(
            "kills: seed \(seed), \(HistoryTests.kills) kills, \(history.count) acknowledged of \(exported.count) messages, slowest "
                + "start \(Int(slowest * 1_000)) ms")
    }

    /// Servers of one store in a PostgreSQL of their own.
    private final class Cluster {
        let directory: TemporaryDirectory
        let postgres: PostgresCluster
        let uri: String
        var servers: [Daemon] = []

        init(servers count: Int) throws {
            directory = try TemporaryDirectory()
            postgres = try PostgresCluster()
            uri = try postgres.makeDatabase()
            for number in 0..<count { servers.append(try serve(number)) }
        }

        deinit {
            servers = []
            postgres.stop(SIGINT)
        }

        private func serve(_ number: Int) throws -> Daemon {
            try Daemon(data: directory("\(number)"), options: ["--store", uri])
        }

        func restart(_ number: Int) throws {
            _ = servers[number].stop(SIGKILL)
            servers[number] = try serve(number)
        }

        func history() throws -> History {
            let tokens = try ["alice", "bob"].map { name in
                let person = Person(name: name, home: directory(name), server: servers[0].url)
                let outcome = try person.enter("register", name)
                guard outcome.code == 0 else { throw Failure("register: \(outcome)") }
                return try person.token()
            }
            return History(servers.map(\.url), tokens: tokens)
        }

        private func natterd(_ words: String...) throws -> Outcome {
            try Daemon.run(words + ["--data", directory("0"), "--store", uri], home: directory.path)
        }

        /// The texts of `general`, of a store that is sound.
        func export() throws -> [String] {
            try expect(natterd("fsck"), hasNotes: true)
            return try natterd("export", "general").objects().map { $0[string: "text"] ?? "" }
        }
    }

    @Test("32 writers at two servers of one store: both and PostgreSQL are killed", arguments: [seed])
    func shared(seed: UInt64) throws {
        let cluster = try Cluster(servers: 2)
        let history = try cluster.history()
        history.start(writers: 32, pages: 2, syncs: 2)
        var generator = SeededGenerator(seed: seed)
        let began = Date()
        for kill in 0..<HistoryTests.sharedKills {
            try history.wait(forMore: generator.int(20...200))
            let number = generator.int(0...1)
            try cluster.restart(number)
            history.move(number, to: cluster.servers[number].url)
            guard kill.isMultiple(of: 2) else { continue }
            try history.wait(forMore: generator.int(20...200))
            cluster.postgres.stop(SIGQUIT)
            try cluster.postgres.start()
        }
        try history.wait(forMore: 100)
        history.finish()
        let exported = try cluster.export()
        #expect(history.judge(exported).isEmpty, "\(history.judge(exported).prefix(5))")
        print(
            "kills: seed \(seed), \(HistoryTests.sharedKills) kills of natterd and \((HistoryTests.sharedKills + 1) / 2) of "
                + "PostgreSQL, \(history.count) acknowledged of \(exported.count) messages in "
                + "\(Int(Date().timeIntervalSince(began))) s")
    }

    @Test("readers that go from server to server of four miss nothing and get nothing twice")
    func hops() throws {
        let cluster = try Cluster(servers: 4)
        let history = try cluster.history()
        let began = Date()
        history.start(writers: 8, pages: 2, syncs: 6)
        var commits = 0
        while commits < HistoryTests.sharedCommits, history.found.isEmpty {
            try history.wait(forMore: min(1_000, HistoryTests.sharedCommits - commits))
            commits =
                try cluster.postgres.query("SELECT max(number) FROM log", in: cluster.uri).first.flatMap { Int($0) }
                ?? 0
        }
        history.finish()
        let exported = try cluster.export()
        #expect(history.judge(exported).isEmpty, "\(history.judge(exported).prefix(5))")
        print(
            "kills: none, \(commits) entries of four servers with \(exported.count) messages, and 8 readers that hop, in "
                + "\(Int(Date().timeIntervalSince(began))) s")
    }
}
