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

    private func serve(_ name: String) throws -> Daemon {
        try Daemon(data: directory(name), options: ["--store", uri])
    }

    private func register(_ name: String, at server: Daemon) throws -> Person {
        let person = Person(name: name, home: directory(name), server: server.url)
        let outcome = try person.run(
            ["register", name, "--password-stdin"], input: .bytes(Array("\(World.password)\n".utf8)))
        #expect(outcome.code == 0, "\(outcome.errors)")
        return person
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
        waiting.signal(SIGINT)
        _ = waiting.finish()
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
                let refused = try command(words, beside: "one")
                #expect(refused.code == 64 && refused.errors.contains("natter-postgresql(7)"))
            }
            _ = one.stop()
        }
    }

    @Test("a database that can't be reached ends with 69, a password in the URI with 64")
    func refused() throws {
        for (uri, code) in [
            ("postgresql:///natter?host=\(directory.path)", Int32(69)), ("postgresql://natterd:secret@db/natter", 64),
        ] {
            let end = try Daemon.run(
                ["serve", "--data", directory("none"), "--store", uri, "--listen", "127.0.0.1:0"], home: directory.path)
            #expect(end.code == code && !end.errors.contains("secret"), "\(end.errors)")
        }
    }
}
