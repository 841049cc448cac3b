internal import Foundation
internal import Glibc

/// The programs under test, in `NATTER_BIN` or else beside the tests, where 'swift test' has built them anew.
package enum Programs {
    package static func path(_ program: String) throws -> String {
        let path = "\(given ?? besideTests)/\(program)"
        guard access(path, X_OK) == 0 else {
            throw Failure("there is no program '\(path)'; set NATTER_BIN to the directory of the programs")
        }
        return path
    }

    /// Copies a program by another process: this one starts others meanwhile, and they would hold it open for a moment, so that
    /// nobody could run it.
    package static func install(_ source: String, as path: String) throws {
        let copy = try ChildProcess("/usr/bin/install", ["-D", "-m", "755", source, path], environment: [:]).finish()
        guard copy.code == 0 else { throw Failure("install: \(copy.errors)") }
    }

    /// The directory that `NATTER_BIN` names.
    private static var given: String? {
        ProcessInfo.processInfo.environment["NATTER_BIN"].flatMap { $0.isEmpty ? nil : $0 }
    }

    /// The directory of the program that runs the tests.
    private static var besideTests: String {
        let program = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return URL(filePath: program).deletingLastPathComponent().path
    }

    package static let packageRoot = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().path
}

/// The exit code of a program and its output.
package struct Outcome: Equatable, Sendable {
    /// The exit code, or 128 plus the signal for a process that a signal ended.
    package let code: Int32
    package let bytes: [UInt8]
    package let errors: String

    package init(code: Int32, bytes: [UInt8], errors: String) {
        (self.code, self.bytes, self.errors) = (code, bytes, errors)
    }

    package init(code: Int32, output: String, errors: String) {
        self.init(code: code, bytes: Array(output.utf8), errors: errors)
    }

    /// Success without output.
    package static let silent = Outcome(code: 0, bytes: [], errors: "")

    package var output: String { String(decoding: bytes, as: UTF8.self) }
    package var lines: [String] { output.split(separator: "\n").map(String.init) }
}
