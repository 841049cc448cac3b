internal import NatterConversation
internal import NatterLog
public import NatterModel
internal import NatterSystem

/// A file that was received and waits for its message.
public struct UploadedFile: Sendable, Equatable {
    /// By this its user, and nobody else, names it in a message of its conversation.
    public let upload: String
    public let name: String
    public let type: String
    public let size: UInt64
}

/// One file while it is received. Call one function at a time.
public final class FileUpload: Sendable {
    private struct State {
        var writer: BlobWriter?
        /// Bytes that are counted for the limits.
        var reserved: UInt64
    }

    private let store: Store
    private let principal: Principal
    private let conversation: ConversationID
    private let name: String
    private let state: Monitor<State>

    fileprivate init(
        _ store: Store, _ principal: Principal, _ conversation: ConversationID, _ name: String, reserved: UInt64
    ) {
        (self.store, self.principal, self.conversation, self.name) = (store, principal, conversation, name)
        state = Monitor(State(writer: nil, reserved: reserved))
    }

    deinit {
        let (writer, reserved) = state.withLock { ($0.writer, $0.reserved) }
        store.state.withLock { $0.files.giveBack(reserved, of: principal.account) }
        guard let writer else { return }
        // Removing a large file takes long, and this may be the thread of all connections.
        nonisolated(unsafe) let rest = writer
        _ = store.sealer.submit { _ in withExtendedLifetime(rest) {} }
    }

    /// Takes the next bytes. It writes to the disk, so call it on a worker.
    public func append(_ bytes: [UInt8]) throws(StoreError) {
        guard !store.isFailed else { throw .outcomeUnknown }
        try reserve(UInt64(bytes.count))
        try onDisk { state throws(DiskError) in
            if state.writer == nil { state.writer = try BlobWriter(in: store.directory, disk: store.disk) }
            try state.writer?.append(bytes)
        }
    }

    /// Counts bytes that were not announced, and looks whether the disk has room.
    private func reserve(_ count: UInt64) throws(StoreError) {
        let (reserved, received) = state.withLock { ($0.reserved, $0.writer?.size ?? 0) }
        let lacking = received + count > reserved ? received + count - reserved : 0
        if lacking > 0 {
            try store.state.withLock { state throws(StoreError) in
                try state.files.reserve(lacking, received: reserved, of: principal.account)
            }
            state.withLock { $0.reserved += lacking }
        }
        guard let free = try? store.disk.freeBytes(store.directory), free >= Store.lowSpaceBytes,
            free - Store.lowSpaceBytes >= max(reserved, received + count) - received
        else { throw .diskFull }
    }

    private func onDisk<Result>(_ body: (inout State) throws(DiskError) -> Result) throws(StoreError) -> Result {
        do throws(DiskError) { return try state.withLock { state throws(DiskError) in try body(&state) } } catch {
            store.stopIfDiskFailed(error)
            throw StoreError(error)
        }
    }

    /// Makes the file durable. It waits for the disk and the writer's thread, so call it on a worker.
    public func finish() throws(StoreError) -> UploadedFile {
        try append([])
        let found = try onDisk { state throws(DiskError) in try state.writer?.finish(named: name) }
        guard let (record, checksum) = found ?? nil else { throw .badFileName }
        var row = FileRow(
            id: record.id, state: .announced, account: principal.account.rawValue, size: record.size,
            time: store.clock.now())
        try store.set(row, by: principal)
        // From here on the row counts it.
        state.withLock { state in
            store.state.withLock { $0.files.giveBack(state.reserved, of: principal.account) }
            state.reserved = 0
        }
        do throws(StoreError) {
            try onDisk { state throws(DiskError) in try state.writer?.place(as: record.id) }
            state.withLock { $0.writer = nil }
            row.state = .uploaded
            try store.set(row, by: principal)
        } catch {
            row.state = .gone
            try? store.set(row, by: nil)
            throw error
        }
        return UploadedFile(
            upload: store.seal(record, checksum, of: principal.account, in: conversation), name: record.name,
            type: record.type,
            size: record.size)
    }
}

extension Store {
    /// Sets how large files may be from now on.
    public func use(_ limits: FileLimits) { state.withLock { $0.files.limits = limits } }

    /// Begins to receive a file for a message of a conversation. Reads nothing from the disk.
    ///
    /// - Parameters:
    ///   - path: of the file; its last part is its name.
    ///   - length: how many bytes come, if that is known.
    public func beginUpload(
        of path: String, to name: String, id: ConversationID? = nil, length: UInt64?, for principal: Principal
    ) throws(StoreError) -> FileUpload {
        guard !isShared else {
            throw .noFilesInPostgres
        }
        let conversation = try state.withLock { state throws(StoreError) in
            try Authority.writable(name, id: id, for: principal, state)
        }
        guard let file = FileName.last(of: path) else { throw .badFileName }
        let reserved = length ?? 0
        try state.withLock { state throws(StoreError) in
            try state.files.reserve(reserved, received: 0, of: principal.account)
        }
        return FileUpload(self, principal, conversation, file, reserved: reserved)
    }

    /// Records a row of a file.
    ///
    /// - Parameter principal: whose token must be good.
    fileprivate func set(_ row: FileRow, by principal: Principal?) throws(StoreError) {
        let failure = record(room: row.state == .gone ? .kept : .ordinary) { [self] builder in
            if let principal, !state.withLock({ $0.isGood(principal, at: builder.now) }) {
                throw StoreError.unauthorized
            }
            return Decision(.fileSet(row))
        }
        if let failure { throw failure }
    }

    // MARK: Uploads as their users get them

    fileprivate func seal(
        _ record: FileRecord, _ checksum: UInt32, of account: AccountID, in conversation: ConversationID
    ) -> String {
        var bytes: [UInt8] = []
        conversation.append(to: &bytes)
        bytes.append(littleEndian: UInt64(bitPattern: account.rawValue))
        bytes.append(littleEndian: checksum)
        return Base64URL.encode(uploadBox.seal(bytes + Array(record.line.utf8)))
    }

    /// The file of an upload, whatever has become of it since.
    ///
    /// - Returns: nil for what this store has not given to this user.
    func open(upload: String, of account: AccountID) -> NewFile? {
        guard upload.utf8.count <= 2 * FileRecord.lineBytes, let sealed = Base64URL.decode(upload),
            let bytes = uploadBox.open(sealed)
        else { return nil }
        return bytes.withUnsafeBytes { raw in
            var reader = ByteReader(raw)
            guard let conversation = reader.identifier(ConversationID.self), let owner = reader.integer(UInt64.self),
                Int64(bitPattern: owner) == account.rawValue, let checksum = reader.integer(UInt32.self),
                let line = reader.slice(reader.remaining),
                let record = FileRecord(line: line)
            else { return nil }
            return NewFile(record: record, checksum: checksum, conversation: conversation)
        }
    }
}

/// A file that a new message names.
struct NewFile: Sendable {
    let record: FileRecord
    /// CRC-32C of its content, by which a message is recognized that its sender repeats with the same file.
    let checksum: UInt32
    /// The conversation that it was uploaded for.
    let conversation: ConversationID

    /// What it has in common with another upload of the same file, as of a message that is repeated.
    var content: [UInt8] {
        var bytes = [0] + Array(record.name.utf8) + [0]
        bytes.append(littleEndian: record.size)
        bytes.append(littleEndian: checksum)
        return bytes
    }
}
