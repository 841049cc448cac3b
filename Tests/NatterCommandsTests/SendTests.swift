import Glibc
import NatterCommandLine
import NatterClient
import NatterModel
import NatterSystem
import NatterProtocol
import ServerSupport
import Testing
import TestSupport

@testable import NatterCommands

@Suite("send and pm")
struct SendTests {
    @Test("words are joined, nothing is printed, and --json gives the message")
    func send() throws {
        let server = try TestServer()
        let alice = try server.user("alice")
        #expect(alice("send", "Hello,", "everyone") == .silent)
        let outcome = alice("send", "--json", "-c", "@me", "--", "-x", "y")
        let message: MessageObject = try WireJSON.decode(from: Array(outcome.output.utf8))
        #expect(message.text == "-x y" && message.conversation == "@alice" && message.seq == 1)
        #expect(try alice.texts("log") == ["Hello, everyone"])
    }

    private static let refusals: [([String], Int32)] = [
        (["send", "--id", "é", "x"], 65),
        (["send", "--id", "", "x"], 65),
        (["send", ""], 65),
        (["send", String(repeating: "a", count: 65_537)], 65),
        (["pm", "nobody", "x"], 67),
        (["send", "-c", "no-such-group", "x"], 67),
        (["pm"], 64),
        (["send", "--bogus"], 64),
        (["send", "--offline", "x"], 69),
        (["send", "--timeout", "0", "x"], 64),
    ]

    @Test("invalid messages are refused with their code", arguments: refusals)
    func refused(words: [String], code: Int32) throws {
        let server = try TestServer()
        let alice = try server.user("alice")
        let outcome = alice.run(words)
        #expect(outcome.code == code)
        #expect(outcome.errors.hasPrefix("natter: ") && outcome.lines.isEmpty)
        #expect(outcome.errors.split(separator: "\n").count == 1)
        #expect(try alice.texts("log").isEmpty)
    }

    @Test("the longest text is taken")
    func longest() throws {
        let server = try TestServer()
        let alice = try server.user("alice")
        let text = String(repeating: "ж", count: 32_768)
        #expect(alice("send", text).code == 0)
        #expect(try alice.texts("log") == [text])
    }

    @Test("a server that is not there is told at once, and nothing is tried twice")
    func notReached() throws {
        let (server, alice) = try TestServer.withAlice()
        server.stop()
        let outcome = alice("send", "x")
        #expect(outcome.code == 69)
        #expect(outcome.errors.contains("cannot reach '\(server.url)'"))
    }

    @Test("standard input is one message, without its final newline", arguments: ["a\nb\n", "a\nb"])
    func standardInput(text: String) throws {
        #expect(try message(Array(text.utf8)) == "a\nb")
    }

    @Test("the second of two final newlines is kept")
    func newlines() throws {
        #expect(try message(Array("a\n\n".utf8)) == "a\n")
        #expect(try message(Array("\n".utf8)) == "")
        #expect(try message([]) == "")
    }

    @Test("text that is too long or not UTF-8 is refused")
    func badInput() throws {
        let full = [UInt8](repeating: 0x61, count: 65_536)
        #expect(try message(full).utf8.count == 65_536)
        #expect(try message(full + [0x0A]).utf8.count == 65_536)
        for bytes in [full + [0x61], full + [0x0A, 0x0A], [0xFF], [0xC3], [0xED, 0xA0, 0x80]] {
            #expect(throws: CommandFailure.self) { try message(bytes) }
        }
    }

    @Test("a pipe that another program has made non-blocking is read to its end")
    func nonBlocking() throws {
        var ends: [Int32] = [-1, -1]
        #expect(pipe(&ends) == 0 && fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0)
        let writer = ends[1]
        let thread = try SystemThread(name: "test-writer") {
            // More than the pipe holds, so the reader comes to its end before all is written
            for _ in 0..<6_000 { write(writer, "ten bytes.", 10) }
            close(writer)
        }
        defer { thread.join() }
        #expect(try StandardInput.message(descriptor: ends[0]).utf8.count == 60_000)
        close(ends[0])
    }

    /// Gives the bytes to a reader through a file, which takes any number of them at once.
    private func message(_ bytes: [UInt8]) throws -> String {
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/input"
        try PosixDisk().open(path, .create).write(bytes, at: 0)
        let descriptor = open(path, O_RDONLY)
        defer { close(descriptor) }
        return try StandardInput.message(descriptor: descriptor)
    }
}

@Suite("ids that natter makes")
struct MessageIDTests {
    @Test("they have the form of a UUIDv7 and rise with time")
    func form() throws {
        let time = Timestamp(milliseconds: 1_795_166_135_988)
        let one = MessageID.make(at: time)
        let pattern = Array(one)
        #expect(pattern.count == 36 && IdempotencyKey(one) != nil)
        #expect([8, 13, 18, 23].allSatisfy { pattern[$0] == "-" })
        #expect(pattern[14] == "7" && "89ab".contains(pattern[19]))
        #expect(MessageID.make(at: time) != one)
        #expect(MessageID.make(at: time.advanced(milliseconds: 1)) > one)
    }
}
