internal import Glibc
internal import NatterModel
public import NatterSystem

/// A small file that only its owner may read or change.
public enum PrivateFile {
    /// The access that other users may have had to a file.
    public enum Exposure: Sendable {
        /// No other user could read or change it.
        case secret
        /// No other user could change it.
        case readable
    }

    /// The longest file that `read` takes.
    static let limitBytes = 16_384

    /// Reads the whole file through one descriptor, so that the file that is checked is the file that is read.
    ///
    /// - Returns: nil if there is no file.
    /// - Throws: `ProfileError.unsafe`, `ProfileError.unreadable`, `DiskError`.
    static func read(_ path: String, _ exposure: Exposure) throws -> [UInt8]? {
        func refusal(_ problem: Phrase, remedy: Phrase) -> ProfileError {
            .unsafe(path: path, problem: problem, remedy: remedy)
        }
        // Without O_NONBLOCK, opening a pipe would wait for a writer.
        let flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK
        let descriptor = retrying { open(path, flags) }
        guard descriptor >= 0 else {
            switch errno {
            case ENOENT, ENOTDIR: return nil
            case EACCES: throw ProfileError.unreadable(DiskError(operation: "open", path: path))
            case ELOOP: throw refusal("is a symbolic link", remedy: "put the file itself there")
            default: throw DiskError(operation: "open", path: path)
            }
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw DiskError(operation: "look at", path: path) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw refusal("is no regular file", remedy: "put a file there")
        }
        guard status.st_uid == geteuid() else {
            throw refusal("belongs to another user", remedy: "make it your own")
        }
        let forbidden: mode_t = exposure == .secret ? 0o077 : 0o022
        guard status.st_mode & forbidden == 0 else {
            throw refusal(
                exposure == .secret ? "can be read or changed by others" : "can be changed by others",
                remedy: "use 'chmod 600' on it")
        }
        guard status.st_size <= limitBytes else {
            throw DiskError(code: .fileTooLarge, operation: "read", path: path)
        }
        var failure: DiskError?
        let bytes = [UInt8](unsafeUninitializedCapacity: limitBytes) { buffer, count in
            while count < buffer.count {
                let got = retrying {
                    Glibc.read(descriptor, buffer.baseAddress?.advanced(by: count), buffer.count - count)
                }
                if got < 0 { failure = DiskError(operation: "read", path: path) }
                if got <= 0 { break }
                count += got
            }
        }
        if let failure { throw failure }
        return bytes
    }

    /// Replaces a file in one step, durably, with mode 0600. Several processes may do so at once, and the last one
    /// wins.
    public static func replace(_ path: String, with bytes: [UInt8]) throws(DiskError) {
        let disk = PosixDisk()
        // A signal that ended the process in between would leave the temporary file.
        try blockingSignals { () throws(DiskError) in
            let file = try createBeside(path, disk)
            do throws(DiskError) {
                try file.write(bytes, at: 0)
                try file.sync()
                try disk.rename(file.path, to: path)
            } catch {
                unlink(file.path)
                throw error
            }
        }
        try disk.syncDirectory(Path.directory(of: path))
    }

    /// Checks that the disk takes so many bytes for new content of a file.
    static func checkRoom(_ count: Int, beside path: String) throws(DiskError) {
        try blockingSignals { () throws(DiskError) in
            let file = try createBeside(path, PosixDisk())
            defer { unlink(file.path) }
            try file.write([UInt8](repeating: 0, count: count), at: 0)
            try file.sync()
        }
    }

    /// How many temporary files of one file there may be. Each command that writes it at this moment has one.
    private static let temporaryLimit = 1_000
    /// How old a temporary file is if its process was killed. Writing one takes much less.
    private static let remainMilliseconds: Int64 = 600_000

    /// How much of a name its temporary files have. A directory takes 255 bytes, with what else is in the name.
    private static let temporaryNameBytes = 200

    /// Creates a hidden file that no other process writes to, and removes those of processes that SIGKILL or a power loss has
    /// ended. The names are numbered, because nobody can list a directory of 100,000 files for each command.
    private static func createBeside(_ path: String, _ disk: PosixDisk) throws(DiskError) -> any DiskFile {
        var name = Path.name(of: path)
        while name.utf8.count > temporaryNameBytes { name.removeLast() }
        var number = 0
        while true {
            let temporary = "\(Path.directory(of: path))/.\(name).\(number)"
            do throws(DiskError) {
                return try disk.open(temporary, .create)
            } catch {
                guard error.code == .fileExists, number < temporaryLimit else { throw error }
            }
            let latest = SystemClock().now().advanced(milliseconds: -remainMilliseconds).milliseconds
            if let found = try disk.information(temporary), found.isRegular, found.modified < latest {
                // Another process may have been faster.
                try? disk.remove(temporary)
            }
            number += 1
        }
    }
}
