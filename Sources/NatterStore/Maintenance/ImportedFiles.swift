internal import NatterConversation
public import NatterModel
public import NatterSystem

/// A file that an export has beside its lines.
public struct ExportedFile: Sendable {
    let path: String
    let id: FileID
    let key: [UInt8]?
    let size: UInt64
    let name: String

    /// - Parameters:
    ///   - directory: that of the export. The name of the file there is its id.
    ///   - key: nil if the line does not say. Then only the size is compared.
    ///   - name: of the file in its message.
    public init?(in directory: String, id: FileID, key: [UInt8]?, size: UInt64, name: String) {
        guard let name = FileName.last(of: name) else { return nil }
        (path, self.id, self.key, self.size, self.name) = ("\(directory)/\(id)", id, key, size, name)
    }
}

/// The files of an import. They lie in the staging directory until the commit that numbers its messages. Each has a key of its
/// own, because erasing one message must not take the file of another.
final class StagedBlobs: Sendable {
    private static let pieceBytes = 1 << 20

    private let staging: ImportStaging
    /// The records, with the places of their messages in the import.
    private let records = Monitor<[(place: UInt64, record: FileRecord)]>([])

    init(_ staging: ImportStaging) { self.staging = staging }

    func name(_ record: FileRecord, at place: UInt64) { records.withLock { $0.append((place, record)) } }

    private static func name(of record: FileRecord) -> String { "\(record.id).blob" }

    /// The names in the staging directory, and where the files go.
    var targets: [(name: String, target: String)] {
        records.withLock { $0.map { (StagedBlobs.name(of: $0.record), BlobPath.of($0.record.id)) } }
    }

    /// - Parameter first: the seq of the first message of the import.
    func rows(from first: Seq, in conversation: Int64, at time: Timestamp) -> [FileRow] {
        records.withLock { records in
            records.map { place, record in
                FileRow(
                    id: record.id, state: .named, account: 0, size: record.size, time: time, conversation: conversation,
                    seq: first.advanced(by: Int(clamping: place)))
            }
        }
    }

    /// Copies a file of an export, durably.
    ///
    /// - Returns: nil if it can't be read, or is not what was exported.
    func take(_ file: ExportedFile) throws(DiskError) -> FileRecord? {
        let disk = staging.disk
        // A link is no regular file, and opening does not follow one, either.
        guard let found = try? disk.information(file.path), found.isRegular, found.size == file.size,
            let source = try? disk.open(file.path, .read)
        else { return nil }
        let temporary = staging.path(of: "\(file.id).part")
        let writer = try BlobWriter(in: staging.root, disk: disk, at: temporary)
        let digest = StreamingDigest()
        digest.add(file.key ?? [])
        while writer.size < file.size {
            let count = min(file.size - writer.size, UInt64(StagedBlobs.pieceBytes))
            guard let piece = try? source.read(count: Int(clamping: count), at: writer.size), !piece.isEmpty else {
                return nil
            }
            digest.add(piece)
            try writer.append(piece)
        }
        guard file.key == nil || digest.finish() == file.id.bytes,
            let record = try writer.finish(named: file.name)?.record
        else { return nil }
        try writer.move(to: staging.path(of: StagedBlobs.name(of: record)))
        return record
    }
}

extension StoreImporter {
    /// Adds a file to a text of this import.
    ///
    /// - Parameter text: the place of the text.
    /// - Returns: nil if the file can't be read, or is not what was exported, or the store takes none.
    public func append(
        _ file: ExportedFile, to text: UInt64, time: Timestamp, sender: [UInt8]
    ) throws(ImportError) -> ImportedPlace? {
        guard !store.isShared else { return nil }
        let record: FileRecord?
        do throws(DiskError) { record = try blobs.take(file) } catch { throw StoreImporter.failure(error, store) }
        guard let record else { return nil }
        let place = try append(
            time: time, sender: sender, text: Array(record.line.utf8), kind: .file, about: .new(text))
        if case .new(let number) = place { blobs.name(record, at: number) }
        return place
    }
}

extension Blob {
    /// Copies a file of a data directory for an export, durably.
    ///
    /// - Parameter directory: that of the export, where the name of the file is its id.
    /// - Returns: false if it is not there, or not what was uploaded.
    public static func export(
        _ record: FileRecord, of data: String, into directory: String, disk: any Disk = PosixDisk()
    ) throws -> Bool {
        let path = "\(directory)/\(record.id)"
        // An earlier export has the same bytes.
        if let found = try disk.information(path), found.isRegular, found.size == record.size { return true }
        guard let blob = try? Blob(record, in: data, disk: disk), (try? blob.isIntact()) == true else { return false }
        let copy = try disk.open(path, .create)
        _ = try FileCopy(disk: disk).append(
            "\(data)/\(BlobPath.of(record.id))", from: 0, to: record.size, onto: copy)
        try copy.sync()
        try disk.syncDirectory(directory)
        return true
    }
}
