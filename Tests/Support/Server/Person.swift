internal import Glibc
internal import NatterCommandLine
package import NatterClient
package import NatterModel
internal import NatterSystem
package import NatterProtocol
internal import SystemSupport
package import TestSupport

@testable internal import NatterCommands

/// A user with a home directory who runs commands in this process, without a terminal.
package struct Person: Sendable {
    package let directory: TemporaryDirectory
    package let server: String
    package let name: String
    package let store: StoreID

    package init(server: String, name: String = "", store: StoreID = StoreID(high: 0, low: 0)) throws {
        self.init(directory: try TemporaryDirectory(), server: server, name: name, store: store)
    }

    private init(directory: TemporaryDirectory, server: String, name: String, store: StoreID) {
        (self.directory, self.server, self.name, self.store) = (directory, server, name, store)
    }

    /// This user with another home directory, or another address of the server.
    package func with(directory: TemporaryDirectory? = nil, server: String? = nil) -> Person {
        Person(directory: directory ?? self.directory, server: server ?? self.server, name: name, store: store)
    }

    package var home: String { directory("home") }
    package var outbox: Outbox { Outbox(ClientHome(path: home).outbox(store: store, user: name)) }

    /// Runs a command.
    package func run(_ words: [String], environment: [String: String] = [:], now: Timestamp? = nil) -> Outcome {
        run(NatterProgram.spec, words, environment: environment, now: now)
    }

    package func callAsFunction(_ words: String...) -> Outcome { run(words) }

    private func run(
        _ program: ProgramSpec, _ words: [String], environment: [String: String] = [:], now: Timestamp? = nil
    ) -> Outcome {
        var values = ["NATTER_HOME": home, "NATTER_SERVER": server]
        values.merge(environment) { $1 }
        let console = Console(
            output: .memory(), errors: .memory(), environment: Environment(values),
            clock: now.map { TestClock($0) } ?? SystemClock(), program: "natter")
        let code = Program.run(program, words: words, console: console)
        return Outcome(
            code: code.rawValue, bytes: console.output.collected,
            errors: String(decoding: console.errors.collected, as: UTF8.self))
    }

    /// Runs `send` with its own standard input, because concurrent tests share that of the process.
    package func send(_ words: String..., input: [UInt8]) throws -> Outcome {
        let descriptor = open(try directory.write("input", input), O_RDONLY | O_CLOEXEC)
        defer { close(descriptor) }
        return send(words, descriptor: descriptor)
    }

    package func send(_ words: [String], descriptor: Int32) -> Outcome {
        run(
            ProgramSpec(
                name: "natter", tagline: "", version: "", options: NatterProgram.globalOptions,
                commands: [SendCommand.spec(reading: descriptor)]), ["send"] + words)
    }

    /// The texts that a `log` prints.
    ///
    /// - Parameter words: a command with its operands. The default is `log`.
    package func texts(_ words: String...) throws -> [String] {
        let outcome = run((words.isEmpty ? ["log"] : words) + ["--format", "%m"])
        guard outcome.code == 0 else { throw Failure(outcome.errors) }
        return outcome.lines
    }
}

extension Outcome {
    package var messages: [MessageObject] { lines.compactMap { try? WireJSON.decode(from: Array($0.utf8)) } }
}
