internal import Glibc
internal import NatterModel
public import NatterSystem

/// A directory that gets a file for each conversation that is exported.
public final class ExportDirectory {
    /// A directory takes names of 255 bytes.
    private static let nameBytes = 200

    private let path: String
    private var names: Set<String> = []

    /// Creates it if it is not there.
    public init(_ path: String) throws(DiskError) {
        self.path = path
        try PosixDisk().makeDirectories(path)
    }

    /// Creates a new file, which only this user can read.
    ///
    /// - Parameters:
    ///   - id: names the file if the conversation's name can't, or another file has it.
    ///   - ending: of the file's name, such as `ndjson`.
    /// - Throws: 73 if there is such a file already.
    public func file(_ conversation: String, _ id: String, _ ending: String) throws(DiskError) -> ExportFile {
        let isName =
            !conversation.isEmpty && !conversation.hasPrefix(".") && !conversation.utf8.contains(UInt8(ascii: "/"))
            && !conversation.hasControlCharacter && conversation.utf8.count <= ExportDirectory.nameBytes
        let name = isName && names.insert(NameRule.caseKey(conversation)).inserted ? conversation : id
        return try ExportFile("\(path)/\(name).\(ending)")
    }
}

/// A file that gets an exported conversation.
public final class ExportFile {
    public let output: Output
    private let path: String
    private let descriptor: Int32

    init(_ path: String) throws(DiskError) {
        self.path = path
        descriptor = retrying { open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600) }
        guard descriptor >= 0 else { throw DiskError(operation: "create", path: path) }
        output = Output(descriptor: descriptor, name: "'\(path)'")
    }

    deinit { close(descriptor) }

    /// Makes what was written durable.
    public func finish() throws {
        try output.flush()
        guard fsync(descriptor) == 0 else { throw DiskError(operation: "sync", path: path) }
    }
}
