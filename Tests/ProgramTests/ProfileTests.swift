internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

@Suite("the files of a profile")
struct ProfileTests {
    private let world: World
    private let input = ChildProcess.Stream.bytes(Array("\(World.password)\n".utf8))

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

    @Test("a --ca-file whose path is not one line is refused before the login")
    func authorities() throws {
        let place = world.directory("a\nb")
        try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
        let outcome = try natter(
            ["login", "alice", "--password-stdin", "--ca-file", "ca.pem"], by: "cd '\(place)' && exec \"$0\" \"$@\"")
        #expect(outcome.code == 65 && outcome.errors.contains("'ca-file'") && isOneLine(outcome.errors), "\(outcome)")
        #expect(try world.alice("session", "--json").objects().count == 1)
    }
}
