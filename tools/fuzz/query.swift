// A search query. It is refused, or SQLite accepts the expression made from it, and its words find their own text.
import Glibc
import NatterSearch
import NatterModel

/// One index for all inputs, with a text that contains few of their words.
nonisolated(unsafe) private let index: SearchIndex = {
    let path = "/tmp/natter-fuzz-query-\(getpid()).db"
    guard let index = try? SearchIndex.openForWriting(path: path) else { preconditionFailure("cannot make '\(path)'") }
    for name in [path, path + "-wal", path + "-shm"] { unlink(name) }
    try? index.write { writer in
        try writer.add(ConversationID(high: 1, low: 1), from: Seq(1)) { rows in
            let text = "the quick brown fox, Привет ёлка don't /etc/fstab"
            try rows.append(time: Timestamp(milliseconds: 1), text: Array(text.utf8))
        }
    }
    return index
}()

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let text = FuzzInput(start, count).text
    guard let query = try? SearchQuery(text) else { return 0 }
    require(query.terms.contains { !$0.isNegative }, "there is nothing to look for")
    do {
        try index.search(query) { _ in .next }
    } catch {
        preconditionFailure("SQLite does not understand it: \(error)")
    }
    return 0
}
