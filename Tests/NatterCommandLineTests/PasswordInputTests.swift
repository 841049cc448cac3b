import Glibc
@testable import NatterCommandLine
import NatterSystem
import Testing

@Suite("reading passwords")
struct PasswordInputTests {
    /// A temporary file, removed with the value.
    private final class Scratch {
        let path = "/tmp/natter-password-\(getpid())-\(UInt64.random(in: 0...(.max)))"
        init(_ bytes: [UInt8]) throws {
            let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL, 0o600)
            try #require(descriptor >= 0)
            try #require(write(descriptor, bytes, bytes.count) == bytes.count)
            close(descriptor)
        }
        deinit { unlink(path) }
    }

    private func read(_ text: String) throws -> String { try read(Array(text.utf8)) }
    private func read(_ bytes: [UInt8]) throws -> String {
        let file = try Scratch(bytes)
        return try PasswordInput.file(file.path).read(prompt: "Password")
    }

    private func failure(_ body: () throws -> String) -> ExitCode? {
        do {
            _ = try body()
            return nil
        } catch {
            return (error as? CommandFailure)?.exitCode
        }
    }

    @Test("the first line of a file, as it is")
    func file() throws {
        #expect(try read("correct horse \n second") == "correct horse ")
        #expect(try read("no newline") == "no newline")
        #expect(try read("windows\r\n") == "windows")
        #expect(try read("Пароль\n") == "Пароль")
        #expect(try read("\n") == "")
        #expect(failure { try read("") } == .invalidData)
        #expect(failure { try read([0xFF, 0x0A]) } == .invalidData)
    }

    @Test("an over-long body stays over-long, however it is chunked", arguments: 0...5)
    func limit(padding: Int) throws {
        let longest = String(repeating: "x", count: 1_024)
        #expect(try read(longest + "\n") == longest)
        let text = String(repeating: "x", count: 1_020 + padding) + String(repeating: "👍", count: 10)
        #expect(try read(text).utf8.count > 1_024)
        #expect(try read(longest + "\rx").utf8.count > 1_024)
        #expect(try read(String(repeating: "x", count: 100_000)).utf8.count == 1_025)
    }

    @Test("a file that is none, or may not be read, is refused with its name")
    func badFile() {
        #expect(failure { try PasswordInput.file("/tmp").read(prompt: "P") } == .noInput)
        #expect(failure { try PasswordInput.file("/nowhere/at/all").read(prompt: "P") } == .noInput)
        #expect(throws: CommandFailure(.noInput, code: "cannot_read", "'/tmp' is a directory")) {
            try PasswordInput.file("/tmp").read(prompt: "P")
        }
    }

    @Test("of standard input only the line is read")
    func standardInput() throws {
        let pipe = try PipePair()
        let text = "old one\nnew one\nrest"
        try #require(write(pipe.writer, text, text.utf8.count) == text.utf8.count)
        pipe.closeWriter()
        #expect(try PasswordInput.line(from: pipe.reader, name: "standard input") == "old one")
        #expect(try PasswordInput.line(from: pipe.reader, name: "standard input") == "new one")
        #expect(try PasswordInput.line(from: pipe.reader, name: "standard input") == "rest")
        #expect(failure { try PasswordInput.line(from: pipe.reader, name: "standard input") } == .invalidData)
    }

    @Test("a standard input that another program has made non-blocking is waited for")
    func nonBlocking() throws {
        let pipe = try PipePair()
        try #require(fcntl(pipe.reader, F_SETFL, O_NONBLOCK) == 0)
        let writer = pipe.writer
        // Byte by byte, so that the reader overtakes it
        let thread = try SystemThread(name: "test-writer") {
            for byte in Array(String(repeating: "a password\n", count: 200).utf8) {
                _ = [byte].withUnsafeBytes { write(writer, $0.baseAddress, 1) }
            }
        }
        defer { thread.join() }
        for _ in 0..<200 { #expect(try PasswordInput.line(from: pipe.reader, name: "standard input") == "a password") }
    }

    @Test("options choose the source and exclude each other")
    func options() throws {
        let program = ProgramSpec(
            name: "natter", tagline: "", version: "",
            commands: [CommandSpec("login", "log in", options: PasswordInput.options, run: Fixture.succeed)])
        func source(_ words: String...) throws -> PasswordInput {
            try PasswordInput(Fixture.arguments(["login"] + words, program: program))
        }
        #expect(try source() == .terminal)
        #expect(try source("--password-file", "-") == .file("-"))
        #expect(try source("--password-stdin") == .standardInput)
        #expect(throws: UsageError.self) { try source("--password-stdin", "--password-file", "f") }
    }

    @Test("without a terminal there is no prompt")
    func noTerminal() async {
        await #expect(processExitsWith: .exitCode(64)) {
            setsid()
            close(STDIN_FILENO)
            _ = open("/dev/null", O_RDONLY)
            do throws(CommandFailure) {
                _ = try PasswordInput.terminal.read(prompt: "Password")
            } catch {
                exit(error.message.english.contains("--password-stdin") ? error.exitCode.rawValue : 1)
            }
        }
    }

    @Test("a terminal asks twice and shows nothing of the answer", .timeLimit(.minutes(5)))
    func terminal() throws {
        for (second, isSame) in [("s3cret", true), ("other", false)] {
            // Given a user who waits for each prompt
            let terminal = try PseudoTerminal()
            let person = terminal.person
            let shown = Monitor("")
            let typist = try SystemThread(name: "typist") {
                for (prompt, answer) in [("Password: ", "s3cret\n"), ("Again: ", second + "\n"), ("\n", "")] {
                    let text = PseudoTerminal.screen(of: person, until: prompt)
                    shown.withLock { $0 += text }
                    _ = write(person, answer, answer.utf8.count)
                }
            }
            // When the password is asked for
            let result = Result { try PasswordInput.ask("Password", again: "Again", on: terminal.program) }
            typist.join()
            // Then only the prompts were shown, and the echo is back
            #expect(shown.withLock { $0 } == "Password: \r\nAgain: \r\n")
            #expect(terminal.echoes)
            #expect((try? result.get()) == (isSame ? "s3cret" : nil))
        }
    }

    @Test("SIGINT at the prompt puts the echo back and ends with 130", .timeLimit(.minutes(5)))
    func interrupt() async throws {
        let terminal = try PseudoTerminal()
        let path: String = terminal.path
        await #expect(processExitsWith: .exitCode(130)) { [path = path as String] in
            receiveInterrupts()
            let descriptor = open(path, O_RDWR | O_NOCTTY)
            _ = HiddenTerminal.hiding(descriptor) {
                var settings = termios()
                tcgetattr(descriptor, &settings)
                if settings.c_lflag & tcflag_t(ECHO) != 0 { exit(1) }
                raise(SIGINT)
            }
        }
        #expect(terminal.echoes)
    }
}
