internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

@Suite("the files of a profile")
struct ProfileTests {
    private let world: World
    private let input = ChildProcess.Stream.text("\(World.password)\n")

    init() throws { world = try World() }

    private var directory: String { world.alice.natterSettings + "/profiles/default" }

    private func text(_ file: String) throws -> String { try #require(Files.text("\(directory)/\(file)")) }

    /// Alice's natter, in a shell script that runs it as `"$0" "$@"`.
    private func natter(_ words: [String], by script: String) throws -> Outcome {
        try ChildProcess(
            "/bin/sh", ["-c", script, try Programs.path("natter")] + words,
            environment: ["HOME": world.alice.home, "PATH": "/usr/bin:/bin", "NATTER_SERVER": world.url], input: input
        ).finish()
    }

    private func write(_ file: String, _ text: String) throws {
        try world.directory.write("alice/.config/natter/profiles/default/\(file)", text)
    }

    @Test("a login that cannot be stored leaves the former session, and the server is not asked for it")
    func full() throws {
        func sessions() throws -> Int { try world.bob("session", "ls", "--json").objects().count }
        let before = try sessions()
        for words in [["login", "bob"], ["register", "dave"]] {
            try expect(natter(words + ["--password-stdin"], by: "ulimit -f 0; exec \"$0\" \"$@\""), 75)
        }
        #expect(try world.alice("whoami").output.hasPrefix("alice ") && sessions() == before)
        #expect(try natter(["register", "dave", "--password-stdin"], by: "exec \"$0\" \"$@\"").code == 0)
    }

    @Test("a login that is killed leaves the former session or the new one, and the next login is whole")
    func killed() throws {
        let former = try text("token")
        try expect(world.alice.enter("login", "bob", "--profile", "second"))
        let second = world.alice.natterSettings + "/profiles/second"
        // Given what a login has written when it ends after its first step: the former one counts
        let new = try #require(Files.text(second + "/token"))
        try write("token.next", new)
        #expect(try world.alice("whoami").output.hasPrefix("alice "))
        // When it ends after its second step: the new one
        try write("account", try #require(Files.text(second + "/account")))
        #expect(try world.alice("whoami").output.hasPrefix("bob "))
        // Then a next login that ends early does not lose it
        #expect(try natter(["login", "alice", "--password-stdin"], by: "ulimit -f 0; exec \"$0\" \"$@\"").code == 75)
        #expect(try world.alice("whoami").output.hasPrefix("bob "))
        try expect(world.alice.enter("login", "bob"))
        #expect(Files.text("\(directory)/token.next") == nil)
        // And a token is never used for the account of another login
        try write("token", former)
        try expect(world.alice("whoami"), 77, "not logged in")
        try expect(world.alice.enter("login", "alice"))
        #expect(try world.alice("whoami").output.hasPrefix("alice "))
    }

    @Test("commands that run while another one logs in have a session")
    func concurrent() throws {
        let login = try world.alice.start(["login", "alice", "--password-stdin"], input: input)
        var codes: Set<Int32> = []
        var before = try text("token")
        let old = before
        while before == old {
            codes.insert(try world.alice("whoami", "--offline").code)
            before = try text("token")
        }
        #expect(login.finish().code == 0 && codes == [0])
    }

    @Test("profile rm removes what a killed command has left, and a failed end of the session is told")
    func remove() throws {
        let token = try text("token")
        for file in [".token.0", ".account.7", ".token.next.1", "token.next"] {
            try write(file, token)
        }
        world.stopServing()
        let outcome = try world.alice("profile", "rm", "default", "--yes")
        #expect(outcome.code == 0 && isOneLine(outcome.errors), "\(outcome)")
        #expect(outcome.errors.contains("could not be ended: cannot reach"))
        #expect(!Files.isDirectory(directory))
        try world.serve()
        #expect(try world.alice("profile", "--json").objects().isEmpty)
        try expect(world.alice.enter("login", "alice"))
        let offline = try world.alice("profile", "rm", "default", "--yes", "--offline")
        #expect(offline.code == 0 && offline.errors.contains("could not be ended"), "\(offline)")
    }

    @Test("a session whose token can't be read now gets no new address, because nobody can ask whose server that is")
    func unreadableToken() throws {
        let token = world.alice.natterSettings + "/profiles/default/token"
        let before = try world.alice("profile", "--json").output
        chmod(token, 0o644)
        let outcome = try world.alice("profile", "set", "default", "server=http://127.0.0.1:9")
        #expect(outcome.code != 0 && isOneLine(outcome.errors), "\(outcome)")
        chmod(token, 0o600)
        #expect(try world.alice("profile", "--json").output == before)
    }

    @Test("a --ca-file whose path is not one line is refused before the login")
    func authorities() throws {
        let place = world.directory("a\nb")
        try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
        try expect(
            natter(
                ["login", "alice", "--password-stdin", "--ca-file", "ca.pem"], by: "cd '\(place)' && exec \"$0\" \"$@\""
            ), 65, "'ca-file'")
        #expect(try world.alice("session", "--json").objects().count == 1)
    }

    @Test("logout and profile rm count what waits in the outbox")
    func waiting() throws {
        for text in ["one", "two"] {
            try expect(world.alice.run(["send", "--offline", "--queue", text]), hasNotes: true)
        }
        let outcome = try world.alice("logout")
        #expect(outcome.code == 0 && outcome.errors.contains("2 messages wait in the outbox"), "\(outcome)")
        #expect(try world.bob.texts("log") == [])
        try expect(world.alice.enter("login", "alice"))
        try expect(world.alice("sync"))
        #expect(try world.bob.texts("log") == ["one", "two"])
        try expect(world.alice.run(["send", "--offline", "--queue", "three"]), hasNotes: true)
        let removed = try world.alice("profile", "rm", "default", "--yes")
        #expect(removed.code == 0 && isOneLine(removed.errors), "\(removed)")
        #expect(removed.errors.contains("1 message waits in the outbox"), "\(removed)")
    }

    @Test("a token from a file follows the profile to a new address of its store, and goes to no other store")
    func tokenFile() throws {
        let file = try world.directory.write("token", world.bob.token() + "\n")
        func robot(_ words: String...) throws -> Outcome {
            try world.alice.run(words + ["--token-file", file], environment: ["NATTER_SERVER": ""])
        }
        try expect(world.alice("profile", "set", "default", "server=\(world.url)"))
        try expect(robot("log"), isSilent: false)
        let other = try Daemon(data: world.directory("other"), options: ["--log-level", "debug"])
        // When the server moves, and the profile with it
        world.stopServing()
        try world.serve()
        try expect(world.alice("profile", "set", "default", "server=\(world.url)"))
        #expect(try robot("whoami").output.hasPrefix("bob "))
        #expect(try robot("status", "--json").objects().first?[string: "server"] == world.url)
        // And with a profile of another store, the token stays with its own, at the address of its first use
        try expect(
            world.alice.enter("register", "alice", "--server", other.url, "--profile", "second"))
        #expect(try robot("whoami", "--profile", "second").code == 69)
        // Also if it has only sent, in a home without a profile
        let jobs = Person(name: "jobs", home: world.directory("jobs"), server: "")
        func job(_ words: String...) throws -> Outcome { try jobs.run(words + ["--token-file", file]) }
        try expect(job("send", "-c", "general", "one", "--server", world.url))
        try expect(job("send", "-c", "general", "two", "--server", other.url), 77, "is another server")
        try expect(job("send", "-c", "general", "three"))
        #expect(try world.bob.texts("log").suffix(2) == ["one", "three"])
        other.stop()
        #expect(Files.text(world.directory("other") + ".log")?.contains("status=401") == false)
    }
}
