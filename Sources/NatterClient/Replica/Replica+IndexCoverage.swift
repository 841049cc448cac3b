internal import NatterSearch
internal import NatterModel

extension Replica {
    /// How many messages each search looks through one by one, since the index does not have them yet. Where there is no
    /// index, or none that can be read, that is all of them.
    public func countNotIndexed() throws(ReplicaError) -> UInt64 {
        let coverage = (try? SearchIndex.openForReading(path: location.searchPath, disk: disk)?.coverage()) ?? [:]
        var count: UInt64 = 0
        for conversation in try conversations(includingGone: true) {
            let next = coverage[conversation.id]?.upperBound.next ?? conversation.first
            guard next <= conversation.head else { continue }
            count &+= conversation.head.rawValue - next.rawValue + 1
        }
        return count
    }
}
