internal import NatterLog
public import NatterModel
public import NatterSystem

/// `DIR/quarantine/`: bytes that were moved aside instead of deleted. natter never uses them again.
public struct Quarantine {
    let root: String
    let disk: any Disk

    public init(root: String, disk: any Disk) { (self.root, self.disk) = (root, disk) }

    public var directory: String { root + "/quarantine" }

    private func freePath(_ name: String) throws(DiskError) -> String {
        try disk.makeDirectories(directory)
        return try disk.freePath(name, in: directory)
    }

    /// Moves a whole file to quarantine, durably.
    /// - Returns: its new path.
    public func move(_ path: String, label: String = "") throws(DiskError) -> String {
        try move(path, named: label.isEmpty ? Path.name(of: path) : "\(label)-\(Path.name(of: path))")
    }

    /// - Returns: its new path.
    public func move(_ path: String, named name: String) throws(DiskError) -> String {
        let target = try freePath(name)
        try disk.rename(path, to: target)
        try disk.syncDirectory(directory)
        try disk.syncDirectory(Path.directory(of: path))
        return target
    }

    /// Copies the end of a file to quarantine, durably, and only then truncates the file.
    /// - Returns: the path of the copy.
    public func cut(_ path: String, from offset: UInt64, length: UInt64, label: String) throws(DiskError) -> String {
        let target = try freePath("\(label)-\(Path.name(of: path))-at-\(offset)")
        let file = try disk.open(path, .readWrite)
        try copy(file, from: offset, length: length, to: target)
        try file.truncate(to: offset)
        try file.sync()
        return target
    }

    /// Copies a whole file to quarantine, durably.
    /// - Returns: the path of the copy.
    public func copy(_ path: String) throws(DiskError) -> String {
        let target = try freePath(Path.name(of: path))
        let file = try disk.open(path, .read)
        try copy(file, from: 0, length: try file.size(), to: target)
        return target
    }

    private func copy(_ file: any DiskFile, from offset: UInt64, length: UInt64, to target: String) throws(DiskError) {
        let copy = try disk.open(target, .create)
        var done: UInt64 = 0
        while done < length {
            let piece = try FileCopy.read(file, count: Int(clamping: min(length - done, 1 << 20)), at: offset + done)
            if piece.isEmpty { break }
            try copy.write(piece, at: done)
            done += UInt64(piece.count)
        }
        try copy.sync()
        try disk.syncDirectory(directory)
    }

    /// Overwrites and removes what was set aside of a conversation, because it may hold an erased text.
    /// - Returns: the paths of the files, below the root.
    public func wipe(_ conversation: ConversationID) throws(DiskError) -> [String] {
        guard try disk.information(directory) != nil else { return [] }
        var paths: [String] = []
        for name in try disk.list(directory) {
            let segment = try? Segment.open(at: directory + "/" + name, on: disk)
            guard name.contains(conversation.description) || segment?.header.conversation == conversation else {
                continue
            }
            paths.append("quarantine/" + name)
            try RetiredFiles(directory: root, disk: disk).wipe(paths[paths.count - 1])
        }
        return paths
    }

    /// The databases that were set aside, and parts of them. They may hold messages of any conversation.
    /// - Returns: their paths, below the root.
    public func databases() throws(DiskError) -> [String] {
        guard try disk.information(directory) != nil else { return [] }
        return try disk.list(directory).filter { $0.contains(".db") }.sorted().map { "quarantine/" + $0 }
    }

    /// Writes bytes to a new file in quarantine.
    /// - Returns: the path of the new file.
    public func keep(_ bytes: [UInt8], name: String) throws(DiskError) -> String {
        let target = try freePath(name)
        let copy = try disk.open(target, .create)
        try copy.write(bytes, at: 0)
        try copy.sync()
        try disk.syncDirectory(directory)
        return target
    }
}

extension Disk {
    /// The path of `name` in a directory. A number is appended if the name is taken.
    public func freePath(_ name: String, in directory: String) throws(DiskError) -> String {
        var path = "\(directory)/\(name)"
        var attempt = 1
        while try information(path) != nil {
            path = "\(directory)/\(name).\(attempt)"
            attempt += 1
        }
        return path
    }
}
