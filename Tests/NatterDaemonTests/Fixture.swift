import Glibc
import NatterCommandLine
import NatterProtocol
import SystemSupport
import Testing
import TestSupport

@testable import NatterDaemon

/// Runs a command of natterd in this process.
func natterd(_ words: String..., environment: [String: String] = [:]) -> Outcome {
    natterd(words: words, environment: environment)
}

func natterd(words: [String], environment: [String: String] = [:]) -> Outcome {
    let console = Console(
        output: .memory(), errors: .memory(), environment: Environment(environment), clock: TestClock(),
        program: "natterd")
    let code = Program.run(DaemonProgram.spec, words: words, console: console)
    return Outcome(
        code: code.rawValue, bytes: console.output.collected,
        errors: String(decoding: console.errors.collected, as: UTF8.self))
}

/// A line as import reads it.
func line(_ ts: Int64, _ sender: String, _ text: String) -> String {
    struct Line: Encodable {
        let ts: Int64
        let sender: String
        let text: String
    }
    return String(decoding: WireJSON.encode(Line(ts: ts, sender: sender, text: text)), as: UTF8.self) + "\n"
}
