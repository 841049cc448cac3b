internal import NatterConversation
internal import NatterSQLite
internal import NatterLog
internal import NatterModel
internal import NatterSystem

/// `DIR/import/` holds the log files of an import, and the files of its messages, until its whole input was accepted. No reader
/// looks there.
///
/// Several files can't be renamed in one step. So their names are first written to a list and synced. If a crash
/// comes between the first rename and the commit, the next start finds the list and undoes the renames.
struct ImportStaging {
    static let directoryName = "import"
    private static let manifestName = "manifest"
    /// Enough for the names of about a million segments.
    private static let manifestLimit = 64 << 20

    let root: String
    let disk: any Disk

    var directory: String { root + "/" + ImportStaging.directoryName }
    private var manifest: String { directory + "/" + ImportStaging.manifestName }

    /// The path of a file until it is published.
    func path(of name: String) -> String { directory + "/" + name }

    /// Makes the directory and empties it.
    func prepare() throws(DiskError) {
        try disk.makeDirectories(directory)
        try clear()
    }

    /// Removes all files. They belong to an import that was never recorded, so no client knows a message in them.
    func clear() throws(DiskError) {
        guard try disk.information(directory)?.isDirectory == true else { return }
        for name in try disk.list(directory) { try disk.remove(directory + "/" + name) }
        try disk.syncDirectory(directory)
    }

    /// Moves the files to their final places, durably.
    ///
    /// - Parameter files: their names in this directory, and their paths below the data directory.
    func publish(_ files: [(name: String, target: String)]) throws(DiskError) {
        try disk.replaceContents(of: manifest, with: Array(files.map { $0.target + "\n" }.joined().utf8))
        var directories: Set<String> = []
        for (name, target) in files {
            let parent = Path.directory(of: root + "/" + target)
            try disk.makeDirectories(parent)
            try disk.rename(path(of: name), to: root + "/" + target)
            directories.insert(parent)
        }
        for parent in directories { try disk.syncDirectory(parent) }
        try disk.syncDirectory(directory)
    }

    /// Moves published files back after the commit failed.
    func withdraw(_ files: [(name: String, target: String)]) throws(DiskError) {
        for (name, target) in files where try disk.information(path(of: name)) == nil {
            if try disk.information(root + "/" + target) == nil { continue }
            try disk.rename(root + "/" + target, to: path(of: name))
        }
    }

    /// Cleans up after a crash: moves files that were published but not recorded to `quarantine/` and removes the
    /// rest.
    ///
    /// Published files are kept because an index that is older than the logs would look the same.
    func recover(_ connection: Connection, report: (Phrase) -> Void) throws {
        guard try disk.information(directory)?.isDirectory == true else { return }
        if try disk.information(manifest) != nil {
            let list = try disk.contents(of: manifest, limit: ImportStaging.manifestLimit)
            for name in String(decoding: list, as: UTF8.self).split(separator: "\n").map(String.init) {
                try setAside(name, connection, report)
            }
        }
        try clear()
    }

    private func setAside(_ name: String, _ connection: Connection, _ report: (Phrase) -> Void) throws {
        let log = Segment.parts(ofName: name)
        guard log != nil || BlobPath.isBlob(name), try disk.information(root + "/" + name)?.isRegular == true,
            try !RetiredFiles.isRecorded(name, on: connection)
        else { return }
        let label = log.map { "\($0.conversation)-" } ?? ""
        let target = try Quarantine(root: root, disk: disk).move(
            root + "/" + name, named: "\(label)\(Path.name(of: name))-import")
        report("moved '\(name)' of an import that was not finished to '\(target)'")
    }
}
