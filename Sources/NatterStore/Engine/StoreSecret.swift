internal import NatterCrypto
internal import NatterModel
internal import NatterSystem

/// The second copy of the store's secret: `DIR/secret`. The first is in the database. Clients hold cursors that only this
/// secret opens, and a database can be made again from the logs.
enum StoreSecret {
    private static func path(_ directory: String) -> String { directory + "/secret" }

    static func read(in directory: String, disk: any Disk) -> ShortHashKey? {
        guard let bytes = try? disk.contents(of: path(directory), limit: 64) else { return nil }
        return Hex.decode(String(decoding: bytes, as: UTF8.self).prefix { $0 != "\n" }).flatMap {
            ShortHashKey(bytes: $0)
        }
    }

    /// Writes the copy unless it is there.
    static func keep(_ secret: ShortHashKey, in directory: String, disk: any Disk) throws(DiskError) {
        guard read(in: directory, disk: disk)?.bytes != secret.bytes else { return }
        try disk.replaceContents(of: path(directory), with: Array((Hex.encode(secret.bytes) + "\n").utf8))
    }
}
