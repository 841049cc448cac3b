internal import NatterSystem
public import NatterModel

/// Whether a message of a later import is new.
public enum ImportStanding: Equatable, Sendable {
    case new
    /// An earlier import has brought it, as this message if that is certain.
    case known(Seq?)
    /// An earlier import has brought it with an older text, as this message.
    case edited(Seq)
}

/// The messages of a conversation that earlier imports have brought. Two messages are the same if time, sender and text
/// are, or if the text was edited since; if a conversation has two such, an import leaves out the first two.
///
/// So it does not matter whether a program gives its messages ids, and whether those stay the same. However many messages have one
/// time and sender, as in a log with minutes, each is found at once.
struct KnownMessages {
    /// A hash of time and sender.
    private struct Origin: Hashable {
        let high: UInt64
        let low: UInt64
    }

    /// An origin, and a hash that tells its texts apart.
    private struct Content: Hashable {
        let origin: Origin
        let text: UInt64
    }

    /// Places of messages, in order. Nearly always there is one.
    private struct Queue {
        private let first: UInt32
        private var next: UInt32 = 0
        private var others: [UInt32] = []

        init(_ first: UInt32) { self.first = first }

        mutating func append(_ place: UInt32) { others.append(place) }

        /// The first that is not taken. Those before it are not looked at again.
        mutating func front(_ isTaken: [Bool]) -> UInt32? {
            while next <= others.count {
                let place = next == 0 ? first : others[Int(next) - 1]
                if !isTaken[Int(place)] { return place }
                next += 1
            }
            return nil
        }
    }

    /// The messages of one origin.
    private struct Group {
        var queue: Queue
        /// How many are not taken, and how many of those were edited.
        var left: UInt32 = 0
        var edited: UInt32 = 0
    }

    /// The messages that an earlier import has brought, and which of them one of this import was.
    private var seqs: [Seq] = []
    private var isTaken: [Bool] = []
    /// When a text was last changed.
    private var edits: [UInt32: Timestamp] = [:]
    private var groups: [Origin: Group] = [:]
    /// By their newest texts; and those that were edited by the first.
    private var current: [Content: Queue] = [:]
    private var former: [Content: Queue] = [:]
    /// How many erased messages have a time. Nobody knows any more who sent them, and they must not come back.
    private var erased: [Timestamp: Int] = [:]

    private struct Edit {
        let sender: [UInt8]
        let text: UInt64
        let time: Timestamp
    }

    /// - Parameter name: of a conversation, which need not exist.
    init(of name: String, in store: Store) throws(StoreError) {
        let exporter: StoreExporter
        do throws(StoreError) { exporter = try StoreExporter(name, of: store) } catch .noSuchConversation { return }
        // The origin and the text of each message; the text is nil if it is erased.
        var (origins, texts): ([Origin], [UInt64?]) = ([], [])
        // Times of erased messages, whose senders only an edit can tell.
        var nameless: [Seq: Timestamp] = [:]
        var newest: [Seq: Edit] = [:]
        while let piece = try exporter.next() {
            // The content of damaged messages is not known. Users can see which ones are imported once more.
            guard case .messages(let messages) = piece else { continue }
            messages.forEachImported { seq, time, sender, text, edited, isErased in
                switch (edited, isErased) {
                case (nil, false):
                    seqs.append(seq)
                    origins.append(KnownMessages.origin(time, sender))
                    texts.append(KnownMessages.hash(text))
                case (nil, true): nameless[seq] = time
                case (let edited?, false):
                    if let known = newest[edited], known.time > time { return }
                    newest[edited] = Edit(sender: sender, text: KnownMessages.hash(text), time: time)
                case (_, true): break
                }
            }
        }
        for (seq, time) in nameless.sorted(by: { $0.key < $1.key }) {
            guard let edit = newest[seq] else {
                erased[time, default: 0] += 1
                continue
            }
            seqs.append(seq)
            origins.append(KnownMessages.origin(time, edit.sender))
            texts.append(nil)
        }
        isTaken = Array(repeating: false, count: seqs.count)
        for (index, seq) in seqs.enumerated() {
            sort(UInt32(clamping: index), of: origins[index], text: texts[index], edited: newest[seq])
        }
    }

    private mutating func sort(_ place: UInt32, of origin: Origin, text: UInt64?, edited edit: Edit?) {
        func add(_ text: UInt64, to queues: inout [Content: Queue]) {
            let content = Content(origin: origin, text: text)
            if queues[content]?.append(place) == nil { queues[content] = Queue(place) }
        }
        if groups[origin]?.queue.append(place) == nil { groups[origin] = Group(queue: Queue(place)) }
        groups[origin]?.left += 1
        guard let edit else {
            if let text { add(text, to: &current) }
            return
        }
        groups[origin]?.edited += 1
        edits[place] = edit.time
        add(edit.text, to: &current)
        if let text, text != edit.text { add(text, to: &former) }
    }

    /// Says what a message is, and crosses out the one that it is.
    ///
    /// - Parameter edited: when its text was last changed, if it was.
    mutating func find(time: Timestamp, sender: [UInt8], text: [UInt8], edited: Timestamp?) -> ImportStanding {
        let origin = KnownMessages.origin(time, sender)
        guard let (left, editedCount) = groups[origin].map({ ($0.left, $0.edited) }), left > 0 else {
            return takeErased(time)
        }
        let content = Content(origin: origin, text: text.withUnsafeBytes(KnownMessages.hash))
        if let place = current[content]?.front(isTaken) { return .known(use(place, of: origin)) }
        // The text may have been changed back.
        if let place = former[content]?.front(isTaken) { return use(place, of: origin, edited: edited) }
        // A text that is in no import yet, or one between two that are.
        guard edited != nil || editedCount > 0, let place = groups[origin]?.queue.front(isTaken) else {
            return takeErased(time)
        }
        if left == 1 { return use(place, of: origin, edited: edited) }
        // To change the wrong one would hide its text.
        _ = use(place, of: origin)
        return .known(nil)
    }

    /// One that was erased, if there is one of that time.
    private mutating func takeErased(_ time: Timestamp) -> ImportStanding {
        guard let count = erased[time] else { return .new }
        erased[time] = count > 1 ? count - 1 : nil
        return .known(nil)
    }

    /// Takes one that has another text.
    private mutating func use(_ place: UInt32, of origin: Origin, edited: Timestamp?) -> ImportStanding {
        let last = edits[place]
        let seq = use(place, of: origin)
        guard let edited, last.map({ $0 < edited }) ?? true else { return .known(seq) }
        return .edited(seq)
    }

    private mutating func use(_ place: UInt32, of origin: Origin) -> Seq {
        isTaken[Int(place)] = true
        groups[origin]?.left -= 1
        if edits[place] != nil { groups[origin]?.edited -= 1 }
        return seqs[Int(place)]
    }

    private static func origin(_ time: Timestamp, _ sender: [UInt8]) -> Origin {
        Digest(of: content(time, sender, [])).withUnsafeBytes { digest in
            Origin(
                high: digest.loadUnaligned(as: UInt64.self),
                low: digest.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        }
    }

    private static func hash(_ text: UnsafeRawBufferPointer) -> UInt64 {
        Digest(of: text).withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
    }

    /// The bytes by which a message is the same as another one.
    static func content(_ time: Timestamp, _ sender: [UInt8], _ text: some Collection<UInt8>) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count + sender.count + 16)
        bytes.append(littleEndian: time.milliseconds)
        bytes.append(littleEndian: UInt32(clamping: sender.count))
        bytes += sender
        bytes += text
        return bytes
    }
}
