internal import NatterCommandLine
internal import NatterModel
internal import NatterProtocol
internal import NatterStore
internal import NatterSystem

/// The files that the lines of an import name.
struct ImportFiles {
    /// The directory of the export; nil if no file is taken.
    private let directory: String?
    /// How many were not taken.
    private(set) var left: UInt64 = 0

    /// - Throws: 66 if the process with the store can't read the directory.
    init(_ directory: String?) throws {
        self.directory = directory
        guard let directory else { return }
        do throws(DiskError) { _ = try PosixDisk().list(directory) } catch { throw CommandFailure(unreadable: error) }
    }

    /// Adds the files of a line to a text that this import has brought.
    ///
    /// - Returns: the place of the last one that was taken.
    mutating func take(
        _ files: [FileObject], of line: ImportLine, to text: ImportedPlace?, _ importer: StoreImporter
    ) throws -> ImportedPlace? {
        var last: ImportedPlace?
        for file in files {
            // An earlier import has brought the other texts, with their files.
            guard case .new(let place)? = text, let directory, let id = FileID(hex: file.id),
                let file = ExportedFile(
                    in: directory, id: id, key: file.key.flatMap { Hex.decode($0[...]) }, size: file.size,
                    name: file.name),
                let taken = try importer.append(
                    file, to: place, time: Timestamp(milliseconds: line.ts.milliseconds ?? 0),
                    sender: Array(line.sender.utf8))
            else {
                left += 1
                continue
            }
            last = taken
        }
        return last
    }
}
