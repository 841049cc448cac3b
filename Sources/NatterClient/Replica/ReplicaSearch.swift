internal import NatterIndex
internal import NatterSystem

/// Full-text search in a replica.
public enum ReplicaSearch {
    /// Deletes the index; it is made again by and by.
    static func discard(at location: ReplicaLocation, disk: any Disk) throws {
        try SearchIndex.discard(path: location.searchPath)
        try disk.syncDirectory(location.directory)
    }
}
