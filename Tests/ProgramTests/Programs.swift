internal import Foundation
internal import Glibc
internal import Testing

/// Where the programs under test lie: `NATTER_BIN`, else `.build/release` of this package.
enum Programs {
    static func path(_ program: String) throws -> String {
        let given = ProcessInfo.processInfo.environment["NATTER_BIN"] ?? ""
        let directory = given.isEmpty ? packageRoot + "/.build/release" : given
        let path = "\(directory)/\(program)"
        guard access(path, X_OK) == 0 else {
            throw Failure("there is no program '\(path)'; run 'make build', or set NATTER_BIN to where it is")
        }
        return path
    }

    static let packageRoot = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path
}

struct Failure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// How a process ended and what it wrote.
struct Outcome {
    /// Of a process that a signal ended, 128 and the signal.
    let code: Int32
    let bytes: [UInt8]
    let errors: String

    var output: String { String(decoding: bytes, as: UTF8.self) }
    var lines: [String] { output.split(separator: "\n").map(String.init) }

    /// The lines as JSON objects.
    func objects() throws -> [JSON] { try lines.map { try JSON(parsing: $0) } }
}
