internal import NatterClient
internal import NatterModel

/// Several conversations as one, by time; of the same time, in the order of their names.
struct MessageMerge {
    private(set) var streams: [MessageStream]
    private let direction: MessageStream.Direction
    /// A heap of the streams that may have messages left: the next one first.
    private var heap: [(time: Timestamp, stream: Int)] = []
    /// The stream of the message that was given out last and is not taken yet.
    private var current: Int?

    /// - Parameter streams: all in the same direction.
    init(_ streams: [MessageStream], _ direction: MessageStream.Direction) throws {
        (self.streams, self.direction) = (streams, direction)
        for index in streams.indices {
            switch direction {
            case .forward:
                if let item = try self.streams[index].peek() { push(item.time, index) }
            case .backward:
                // Not opened before its turn: of many conversations few have one of the newest messages.
                if streams[index].conversation.head > .zero { push(streams[index].conversation.latestTime, index) }
            }
        }
    }

    /// The next message; it counts as taken with the call after, or with `take`.
    mutating func next() throws -> MessageStream.Item? {
        try take()
        while let top = heap.first {
            pop()
            guard let item = try streams[top.stream].peek() else { continue }
            if item.time != top.time {
                // It stood at the latest time that it could have.
                push(item.time, top.stream)
                continue
            }
            current = top.stream
            return item
        }
        return nil
    }

    /// Takes the message that `next` gave last.
    mutating func take() throws {
        guard let index = current else { return }
        current = nil
        streams[index].advance()
        if let item = try streams[index].peek() { push(item.time, index) }
    }

    private func comesFirst(_ one: (time: Timestamp, stream: Int), _ other: (time: Timestamp, stream: Int)) -> Bool {
        if one.time != other.time { return direction == .forward ? one.time < other.time : one.time > other.time }
        return direction == .forward ? one.stream < other.stream : one.stream > other.stream
    }

    private mutating func push(_ time: Timestamp, _ stream: Int) {
        heap.append((time, stream))
        var child = heap.count - 1
        while child > 0, comesFirst(heap[child], heap[(child - 1) / 2]) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    private mutating func pop() {
        guard let last = heap.popLast(), !heap.isEmpty else { return }
        heap[0] = last
        var parent = 0
        while true {
            var next = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < heap.count && comesFirst(heap[child], heap[next]) {
                next = child
            }
            if next == parent { return }
            heap.swapAt(parent, next)
            parent = next
        }
    }
}
