public import NatterModel

/// The paths of files that messages name, below the data directory.
public enum BlobPath {
    public static let directory = "files"
    /// Files that are being received.
    public static let received = directory + "/new"

    public static func of(_ id: FileID) -> String {
        let name = id.description
        return "\(directory)/\(name.prefix(2))/\(name)"
    }

    public static func isBlob(_ path: String) -> Bool { id(of: path) != nil }

    /// The blob of this path; nil for any other path.
    static func id(of path: String) -> FileID? {
        guard let id = FileID(hex: path.suffix(2 * FileID.byteCount)), of(id) == path else { return nil }
        return id
    }
}
