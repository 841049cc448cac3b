internal import NatterSystem
internal import NatterModel

/// The second copy of the store's secret: `DIR/secret`. The first is in the database. Clients hold cursors that only this
/// secret opens, and a database can be made again from the logs.
enum StoreSecret {
    static let name = "secret"

    private static func path(_ directory: String) -> String { "\(directory)/\(name)" }

    /// - Returns: nil if there is no file.
    /// - Throws: `incomplete` for one that can't be read, or holds no secret. A new secret would make each cursor useless.
    static func read(in directory: String, disk: any Disk) throws(StoreOpenError) -> ShortHashKey? {
        let problem: Phrase
        do throws(DiskError) {
            if let secret = try contents(of: directory, disk) { return secret }
            problem = "'\(path(directory))' holds no secret"
        } catch {
            if error.isMissing { return nil }
            problem = error.phrase
        }
        throw .incomplete(
            "\(problem); only its secret opens the cursors of clients: make it readable, or remove it and let all clients sync anew"
        )
    }

    private static func contents(of directory: String, _ disk: any Disk) throws(DiskError) -> ShortHashKey? {
        let bytes = try disk.contents(of: path(directory), limit: 64)
        return Hex.decode(String(decoding: bytes, as: UTF8.self).prefix { $0 != "\n" }).flatMap {
            ShortHashKey(bytes: $0)
        }
    }

    /// Writes the copy unless it is there. One that can't be read is replaced, because the database has the secret.
    static func keep(_ secret: ShortHashKey, in directory: String, disk: any Disk) throws(DiskError) {
        let found = try? contents(of: directory, disk)
        guard found?.bytes != secret.bytes else { return }
        try disk.replaceContents(of: path(directory), with: Array((Hex.encode(secret.bytes) + "\n").utf8))
    }
}
