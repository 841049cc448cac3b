internal import NatterSystem

/// `DIR/quarantine/`: bytes that were moved aside rather than deleted. Nothing there is used again.
struct Quarantine {
    let root: String
    let disk: any Disk

    private var directory: String { root + "/quarantine" }

    /// A path of that name that is free.
    private func place(_ name: String) throws(DiskError) -> String {
        try disk.makeDirectories(directory)
        var path = "\(directory)/\(name)"
        var attempt = 1
        while try disk.information(path) != nil {
            path = "\(directory)/\(name).\(attempt)"
            attempt += 1
        }
        return path
    }

    /// Moves a whole file there, durably.
    /// - Returns: where it is now.
    func move(_ path: String, label: String) throws(DiskError) -> String {
        let target = try place(label.isEmpty ? Path.name(of: path) : "\(label)-\(Path.name(of: path))")
        try disk.rename(path, to: target)
        try disk.syncDirectory(directory)
        try disk.syncDirectory(Path.directory(of: path))
        return target
    }

    /// Copies the end of a file there, durably, and only then cuts it off.
    /// - Returns: where the copy is.
    func cut(_ path: String, from offset: UInt64, length: UInt64, label: String) throws(DiskError) -> String {
        let target = try place("\(label)-\(Path.name(of: path))-at-\(offset)")
        let file = try disk.open(path, .readWrite)
        try copy(file, from: offset, length: length, to: target)
        try file.truncate(to: offset)
        try file.sync()
        return target
    }

    /// Copies a whole file there, durably.
    /// - Returns: where the copy is.
    func copy(_ path: String) throws(DiskError) -> String {
        let target = try place(Path.name(of: path))
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

    /// Keeps bytes there that stand in no file of their own.
    func keep(_ bytes: [UInt8], name: String) throws(DiskError) -> String {
        let target = try place(name)
        let copy = try disk.open(target, .create)
        try copy.write(bytes, at: 0)
        try copy.sync()
        try disk.syncDirectory(directory)
        return target
    }
}
