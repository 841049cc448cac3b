internal import NatterClient
internal import NatterModel
internal import NatterSystem

/// When a watch was started for the first time: a line with Unix milliseconds, beside the file of its places.
struct StartFile {
    private static let limitBytes = 64

    let path: String

    /// - Returns: nil where there is none, or one that natter has not written.
    /// - Throws: `DiskError`.
    func read() throws -> Timestamp? {
        let disk = PosixDisk()
        guard try disk.information(path) != nil else { return nil }
        let text = String(decoding: try disk.contents(of: path, limit: StartFile.limitBytes), as: UTF8.self)
        return text.split(separator: "\n").first.flatMap { Int64($0) }.map { Timestamp(milliseconds: $0) }
    }

    /// - Returns: what was written.
    /// - Throws: `DiskError`.
    func write(_ time: Timestamp) throws -> Timestamp {
        try PrivateFile.replace(path, with: Array("\(time.milliseconds)\n".utf8))
        return time
    }
}
