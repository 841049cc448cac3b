internal import NatterHTTP
public import NatterModel
public import NatterSystem

/// Fetches the file of a message, verifies it, and gives it its name at the end. A fetch that was cut is continued.
public struct FileDownload {
    public enum Failure: FailureConvertible {
        /// The server's bytes are not those of the message.
        case differs(name: String)
        case taken(path: String)
        case disk(DiskError)

        public var failure: CommandFailure {
            switch self {
            case .differs(let name):
                .inputOutput("the bytes of '\(name)' do not agree with its message; nothing was kept")
            case .taken(let path):
                CommandFailure(
                    .cannotCreate, code: "exists", "'\(path)' is there already",
                    remedy: "give another name with -o, or --force to replace it")
            case .disk(let error): error.failure
            }
        }
        public var phrase: Phrase { failure.message }
    }

    /// How often in a row a fetch is tried that brings nothing.
    private static let attempts = 5
    private static let pieceBytes = 1 << 20
    private static let bufferBytes = 256 << 10

    private let api: ServerAPI?
    private let kept: String?
    private let record: FileRecord
    /// Gets how many bytes there are.
    private let onProgress: (UInt64) -> Void

    /// - Parameters:
    ///   - api: the server to fetch it from.
    ///   - kept: the path of its bytes in the replica, instead.
    public init(
        _ record: FileRecord, from api: ServerAPI?, keptAt kept: String? = nil,
        onProgress: @escaping (UInt64) -> Void
    ) {
        (self.record, self.api, self.kept, self.onProgress) = (record, api, kept, onProgress)
    }

    /// Writes the file to a path.
    ///
    /// - Parameter replaces: whether another file may be there.
    /// - Throws: `Failure`; `RequestError`, after which another call continues.
    public func save(as path: String, replaces: Bool) throws {
        let directory = Path.directory(of: path)
        let part = "\(directory)/.\(record.id.description.prefix(16)).part"
        do {
            if !replaces, try PosixDisk().information(path) != nil { throw Failure.taken(path: path) }
            let file = try ChosenFile.openPart(part)
            let digest = StreamingDigest()
            digest.add(record.key)
            var offset = try file.size()
            if offset > record.size {
                try file.truncate(to: 0)
                offset = 0
            }
            try digest.add(file, upTo: offset)
            do {
                try fetch(from: offset) { bytes, offset in
                    try file.write(bytes, at: offset)
                    digest.add(bytes)
                }
                guard digest.finish() == record.id.bytes else { throw Failure.differs(name: record.name) }
            } catch let failure as Failure {
                try PosixDisk().remove(part)
                throw failure
            }
            try file.sync()
            try ChosenFile.place(part, as: path, replaces: replaces)
            try PosixDisk().syncDirectory(directory)
        } catch let error as DiskError {
            throw error.code == .fileExists ? Failure.taken(path: path) : Failure.disk(error)
        }
    }

    /// Passes the bytes on, and verifies them at the end.
    public func write(to output: (UnsafeRawBufferPointer) throws -> Void) throws {
        let digest = StreamingDigest()
        digest.add(record.key)
        try withoutActuallyEscaping(output) { output in
            try fetch(from: 0) { bytes, _ in
                try output(bytes)
                digest.add(bytes)
            }
        }
        guard digest.finish() == record.id.bytes else { throw Failure.differs(name: record.name) }
    }

    /// Whether a file has the bytes of a message's file.
    public static func has(_ path: String, bytesOf record: FileRecord) -> Bool {
        (try? PosixDisk().open(path, .read).isWhole(record)) ?? false
    }

    private func fetch(
        from start: UInt64, _ take: @escaping (UnsafeRawBufferPointer, UInt64) throws -> Void
    ) throws {
        guard let api else { return try copy(from: start, take) }
        var offset = start
        // The library gives pieces of 4 KiB.
        var waiting: [UInt8] = []
        func flush() throws {
            defer { waiting.removeAll(keepingCapacity: true) }
            try waiting.withUnsafeBytes { try take($0, offset - UInt64($0.count)) }
        }
        var backoff = Backoff.sending
        var failures = 0
        while offset < record.size {
            let before = offset
            var isWhole = false
            do throws(RequestError) {
                let response = try api.file(record.id, from: offset, size: record.size) { bytes in
                    guard UInt64(bytes.count) <= record.size - offset else { throw Failure.differs(name: record.name) }
                    waiting.append(contentsOf: bytes)
                    offset += UInt64(bytes.count)
                    if waiting.count >= FileDownload.bufferBytes { try flush() }
                    onProgress(offset)
                }
                isWhole = offset == record.size && (before == 0 || response.status == 206)
            } catch {
                if case .transport(.aborted(let cause), _) = error { throw cause }
                // What has arrived is kept, whatever happens next.
                try flush()
                failures = offset > before ? 0 : failures + 1
                guard error.isTemporary, failures < FileDownload.attempts, offset > start else { throw error }
                Backoff.sleep(milliseconds: backoff.next(after: error))
                continue
            }
            try flush()
            guard isWhole else { throw Failure.differs(name: record.name) }
        }
    }

    private func copy(
        from start: UInt64, _ take: (UnsafeRawBufferPointer, UInt64) throws -> Void
    ) throws {
        guard let kept else { return }
        let file = try PosixDisk().open(kept, .read)
        var offset = start
        while offset < record.size {
            let piece = try file.read(count: FileDownload.pieceBytes, at: offset)
            guard !piece.isEmpty else { throw Failure.differs(name: record.name) }
            try piece.withUnsafeBytes { try take($0, offset) }
            offset += UInt64(piece.count)
            onProgress(offset)
        }
    }
}
