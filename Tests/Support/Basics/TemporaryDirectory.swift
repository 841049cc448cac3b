internal import Foundation
package import Glibc

/// A new directory that is removed with its last reference, or at the end of the process.
package final class TemporaryDirectory: Sendable {
    package let path: String

    package init(in parent: String = "/tmp") throws {
        var template = Array("\(parent)/natter-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Failure("mkdtemp: \(errno)") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        Leftovers.add(directory: path)
    }

    deinit {
        Leftovers.remove(directory: path)
        Files.remove(path)
    }

    /// The path of a file in the directory.
    package func callAsFunction(_ name: String) -> String { "\(path)/\(name)" }

    /// Writes a file, whether or not it exists, and creates its parent directories.
    ///
    /// - Returns: the file's path.
    @discardableResult
    package func write(_ name: String, _ text: String, mode: mode_t = 0o600) throws -> String {
        try write(name, Array(text.utf8), mode: mode)
    }

    @discardableResult
    package func write(_ name: String, _ bytes: [UInt8], mode: mode_t = 0o600) throws -> String {
        try Files.write(bytes, to: self(name), mode: mode)
        return self(name)
    }

    /// The sorted paths of all files below the directory whose names end in `suffix`.
    package func files(_ suffix: String = "") -> [String] {
        Files.below(path).filter { $0.hasSuffix(suffix) && !Files.isDirectory($0) }.sorted()
    }

    /// Copies all files to another temporary directory.
    package func copy() throws -> TemporaryDirectory {
        let copy = try TemporaryDirectory()
        try Files.copy(path, to: copy.path)
        return copy
    }
}

/// File operations for tests. They use none of the product's own functions.
package enum Files {
    package static func text(_ path: String) -> String? { bytes(path).map { String(decoding: $0, as: UTF8.self) } }

    package static func bytes(_ path: String) -> [UInt8]? {
        FileManager.default.contents(atPath: path).map { Array($0) }
    }

    /// Whether tests write the files anew that keep what they expect.
    package static var isRecording: Bool { ProcessInfo.processInfo.environment["RECORD"] == "1" }

    /// The text of a file of `fixtures`, which keeps what a test expects.
    ///
    /// - Parameter text: what the file has from now on, if tests record.
    package static func kept(_ name: String, recording text: String) throws -> String? {
        let path = "\(Programs.packageRoot)/fixtures/\(name)"
        if isRecording { try write(Array(text.utf8), to: path, mode: 0o644) }
        return Files.text(path)
    }

    package static func write(_ bytes: [UInt8], to path: String, mode: mode_t = 0o600) throws {
        let url = URL(filePath: path)
        try FileManager.default.createDirectory(
            at: url.deletingLastPathComponent(), withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700])
        unlink(path)
        try Data(bytes).write(to: url)
        chmod(path, mode)
    }

    /// All files and directories below a directory, and the directory itself.
    package static func below(_ directory: String) -> [String] {
        let names = FileManager.default.subpaths(atPath: directory) ?? []
        return [directory] + names.map { "\(directory)/\($0)" }
    }

    /// The files below a directory that hold any six bytes in a row of a text, in its own or in small letters, plain or in
    /// hexadecimal digits. So `grep -r` for the text, or for a piece that is left in a page of a database, finds nothing else.
    package static func holding(piecesOf text: String, below directory: String) -> [String] {
        let pieceBytes = 6
        var pieces: Set<[UInt8]> = []
        for form in [text, text.lowercased()].map({ Array($0.utf8) }) {
            for start in 0...max(0, form.count - pieceBytes) {
                let piece = Array(form[start..<min(form.count, start + pieceBytes)])
                pieces.insert(piece)
                pieces.insert(Array(piece.map { String(format: "%02x", $0) }.joined().utf8))
            }
        }
        // A server's socket can't be read.
        return below(directory).filter { path in
            guard !isDirectory(path), let data = FileManager.default.contents(atPath: path) else { return false }
            return pieces.contains { data.range(of: Data($0)) != nil }
        }
    }

    /// The content of every file below a directory, by its relative path.
    package static func contents(_ directory: String) throws -> [String: [UInt8]] {
        var found: [String: [UInt8]] = [:]
        for path in below(directory) where !isDirectory(path) {
            guard let bytes = bytes(path) else { throw Failure("cannot read '\(path)'") }
            found[String(path.dropFirst(directory.count + 1))] = bytes
        }
        return found
    }

    /// Copies all files below a directory, and replaces existing ones.
    package static func copy(_ directory: String, to target: String) throws {
        try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
        for (name, bytes) in try contents(directory) { try write(bytes, to: "\(target)/\(name)") }
    }

    /// Copies everything below a directory into another one as it is: modes, times, links and sockets.
    package static func clone(_ directory: String, into target: String) throws {
        let copy = try ChildProcess("/bin/cp", ["-a", directory + "/.", target], environment: [:]).finish()
        guard copy.code == 0 else { throw Failure("cp: \(copy.errors)") }
    }

    /// Removes a file, or a directory with everything in it.
    package static func remove(_ path: String) { try? FileManager.default.removeItem(atPath: path) }

    /// The permissions, or nil if there is no such file.
    package static func mode(_ path: String) -> mode_t? { status(path).map { $0.st_mode & 0o7777 } }

    package static func isDirectory(_ path: String) -> Bool { status(path).map { $0.st_mode & S_IFMT } == S_IFDIR }

    /// The size of a regular file, or 0 for anything else.
    package static func size(_ path: String) -> Int {
        status(path).map { $0.st_mode & S_IFMT == S_IFREG ? Int($0.st_size) : 0 } ?? 0
    }

    private static func status(_ path: String) -> stat? {
        var status = stat()
        return lstat(path, &status) == 0 ? status : nil
    }

    /// Changes one byte in place.
    package static func flipByte(_ path: String, at offset: Int) throws {
        let handle = try FileHandle(forUpdating: URL(filePath: path))
        defer { try? handle.close() }
        try handle.seek(toOffset: UInt64(offset))
        guard let byte = try handle.read(upToCount: 1)?.first else { throw Failure("'\(path)' ends before \(offset)") }
        try handle.seek(toOffset: UInt64(offset))
        try handle.write(contentsOf: [byte ^ 0x41])
    }
}

/// Processes and directories that still exist when the test run ends, because static values are never deallocated.
package enum Leftovers {
    private struct State: Sendable {
        var processes: Set<pid_t> = []
        var directories: Set<String> = []
        var isWatching = false
    }

    private static let state = Shared(State())

    private static func change(_ body: (inout State) -> Void) {
        let isFirst = state.withLock { state in
            body(&state)
            defer { state.isWatching = true }
            return !state.isWatching
        }
        guard isFirst else { return }
        atexit {
            // Threads that no test has waited for still run.
            let left = Leftovers.state.withLock { $0 }
            for id in left.processes { kill(id, SIGKILL) }
            // A dead process writes no file, and nothing that waits for any child is woken over and over.
            for id in left.processes { waitpid(id, nil, 0) }
            for path in left.directories { Files.remove(path) }
        }
    }

    package static func add(process id: pid_t) { change { $0.processes.insert(id) } }
    /// Call it before `waitpid`, which releases the process id for another process.
    package static func remove(process id: pid_t) { change { $0.processes.remove(id) } }
    package static func add(directory path: String) { change { $0.directories.insert(path) } }
    package static func remove(directory path: String) { change { $0.directories.remove(path) } }
}
