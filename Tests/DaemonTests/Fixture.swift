import Glibc
import NatterCLI
import NatterModel
import NatterSystem
import NatterWire
import Testing

@testable import NatterDaemon

/// A directory of its own for each test, gone with the value.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/natter-daemon-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw DiskError(operation: "make", path: "/tmp/natter-daemon-XXXXXX") }
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    deinit { TemporaryDirectory.remove(path) }

    private static func remove(_ path: String) {
        for name in (try? PosixDisk().list(path)) ?? [] {
            let inner = path + "/" + name
            if unlink(inner) != 0 { remove(inner) }
        }
        rmdir(path)
    }

    /// Writes a file, in the place of one that is there.
    @discardableResult
    func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        try PosixDisk().replaceContents(of: path + "/" + name, with: bytes)
        return path + "/" + name
    }

    @discardableResult
    func write(_ name: String, _ text: String) throws -> String { try write(name, Array(text.utf8)) }

    /// Every file below it, whole paths.
    func files(_ suffix: String = "") throws -> [String] {
        func walk(_ path: String) throws -> [String] {
            try PosixDisk().list(path).flatMap { name -> [String] in
                let inner = path + "/" + name
                return try PosixDisk().information(inner)?.isDirectory == true ? walk(inner) : [inner]
            }
        }
        return try walk(path).filter { $0.hasSuffix(suffix) }
    }
}

/// SplitMix64: the same numbers for the same seed.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}

struct FixedClock: WallClock {
    var time = Timestamp(milliseconds: 1_795_000_000_000)
    func now() -> Timestamp { time }
}

/// What a command has done.
struct Outcome {
    let code: Int32
    let output: [UInt8]
    let errors: String

    var text: String { String(decoding: output, as: UTF8.self) }
    var lines: [String] { text.split(separator: "\n").map(String.init) }
}

/// Runs a command of natterd in this process.
func natterd(_ words: String..., environment: [String: String] = [:]) -> Outcome {
    let console = Console(
        output: .memory(), errors: .memory(), environment: Environment(environment), clock: FixedClock(),
        program: "natterd")
    let code = Program.run(DaemonProgram.spec, words: words, console: console, explain: DaemonFailure.explain)
    return Outcome(
        code: code.rawValue, output: console.output.collected,
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
