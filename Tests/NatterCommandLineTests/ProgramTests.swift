import NatterCommandLine
import NatterSystem
import Testing

@Suite("from words to an exit code")
struct ProgramTests {
    struct Odd: Error {}

    private func program(_ body: @escaping CommandBody) -> ProgramSpec {
        ProgramSpec(
            name: "natter", tagline: "chat", version: "1.2.3", options: [.flag("json", "JSON")],
            commands: [CommandSpec("go", "go", options: [.option("n", value: "N", "a number")], run: body)])
    }

    private func run(_ words: [String], _ body: @escaping CommandBody = { _, _ in .success }) -> (ExitCode, Console) {
        let console = Fixture.console()
        let code = Program.run(program(body), words: words, console: console)
        return (code, console)
    }

    @Test("a command's output and code are its own")
    func success() {
        let (code, console) = run(["go"]) { _, console in
            try console.output.writeLine("done")
            return .nothingFound
        }
        #expect(code == .nothingFound)
        #expect(console.output.text == "done\n")
        #expect(console.errors.text == "")
    }

    @Test("help and version go to standard output")
    func help() {
        #expect(run([]).1.output.text.hasPrefix("natter: chat\n"))
        #expect(run(["go", "--help"]).1.output.text.hasPrefix("natter go: go\n"))
        #expect(run(["--version"]).1.output.text == "natter 1.2.3\n")
        #expect(run([]).0 == .success)
    }

    @Test("a usage error is one line on standard error")
    func usage() {
        let (code, console) = run(["og\u{1B}\n"])
        #expect(code == .usage)
        #expect(console.errors.text == "natter: 'og\\x1b\\x0a' is not a natter command; see 'natter help'\n")
        #expect(console.output.text == "")
    }

    @Test("with --json an error is one object")
    func json() {
        let (code, console) = run(["go", "--json", "--bogus\u{202E}\""])
        #expect(code == .usage)
        #expect(
            console.errors.text
                == #"{"error":{"code":"usage","exit":64,"message":"'--bogus\u202e\"' is not an option of 'go'; see 'natter help go'"}}"#
                + "\n")
        let thrown = run(["--json", "go"]) { _, _ in throw CommandFailure(.notFound, code: "no_such_user", "no\nuser") }
        #expect(thrown.1.errors.text == #"{"error":{"code":"no_such_user","exit":67,"message":"no\nuser"}}"# + "\n")
        #expect(thrown.0 == .notFound)
    }

    @Test("errors of every kind have their code, and findings are printed before them")
    func failures() {
        func code(_ error: any Error) -> Int32 {
            let (code, console) = run(["go"]) { _, console in
                try console.output.writeLine("found")
                throw error
            }
            #expect(console.output.text == "found\n")
            #expect(console.errors.text.hasPrefix("natter: ") && console.errors.text.hasSuffix("\n"))
            return code.rawValue
        }
        #expect(code(Odd()) == 74)
        #expect(code(UsageError("m", remedy: "r")) == 64)
        #expect(code(ConfigError(path: "p", line: 1, problem: "x")) == 78)
        #expect(code(DiskError(code: .permissionDenied, operation: "create", path: "p")) == 73)
        #expect(code(DiskError(code: .ioError, operation: "read", path: "p")) == 74)
        #expect(code(DiskError(code: .fileTooLarge, operation: "read", path: "p")) == 74)
        #expect(code(DiskError(code: .noSpace, operation: "write", path: "p")) == 75)
        #expect(code(OutputError.failed(code: 5, name: "standard output")) == 74)
    }

    @Test("a closed pipe is silent")
    func closedPipe() {
        let (code, console) = run(["go"]) { _, _ in throw OutputError.closedPipe }
        #expect(code == .closedPipe)
        #expect(console.errors.text == "")
    }

    @Test("a wrong value is told with the command's help")
    func typed() {
        let (code, console) = run(["go", "-n", "x"]) { arguments, _ in
            _ = try arguments.integer("n")
            return .success
        }
        #expect(code == .usage)
        #expect(console.errors.text == "natter: -n takes a whole number, not 'x'; see 'natter help go'\n")
    }

    @Test("a note is one escaped line")
    func note() {
        let console = Fixture.console()
        console.note("server not reached\u{1B}")
        #expect(console.errors.text == "natter: server not reached\\x1b\n")
    }
}

@Suite("a whole process")
struct ProcessTests {
    @Test("ends with the code of what its words ask for")
    func main() async {
        // The test's own words are no command of this program.
        await #expect(processExitsWith: .exitCode(64)) {
            let program = ProgramSpec(name: "natter", tagline: "chat", version: "1", commands: [])
            Program.main(program)
        }
    }
}
