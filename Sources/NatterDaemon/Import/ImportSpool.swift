internal import NatterCLI
internal import NatterImport
internal import NatterLanguage
internal import NatterModel
internal import NatterSystem
internal import NatterWire

/// One message on its way from a file of another program to the store, as a line of JSON.
struct ForeignLine: Codable {
    var ts: Int64
    var sender: String
    var text: String
    /// The message's id, until its answers are known by number.
    var id: String?
    var answers: String?
    /// The number of the message that this one answers, where those of a conversation count from 1.
    var about: UInt64?
    /// When the text was last changed, in Unix milliseconds.
    var edited: Int64?
}

/// Keeps what a reader finds in an unnamed file, channel by channel, until all of it is known to be good.
final class ImportSpool: HistorySink {
    /// Messages of one channel that stand together in the file.
    fileprivate struct Part {
        let name: String
        let range: Range<UInt64>
        let order: Int
    }

    struct Channel {
        var name: String
        var people: [String]?
        var count = 0
        fileprivate var parts: [Part] = []
    }

    private static let chunkBytes = 256 << 10

    private let file: UnnamedFile
    private let users: [String: String]
    /// Names of `users` that nobody has had yet.
    private(set) var unseenUsers: Set<String>
    private(set) var notes: [Phrase] = []
    private let now: Timestamp
    private let takesOld: Bool
    private let progress: (Int) -> Void
    private var fileBytes: UInt64 = 0
    private var pending: [UInt8] = []
    private var open: (channel: String, part: String)?
    private var channelsByName: [String: Channel] = [:]
    private(set) var skipped: [String: Int] = [:]
    private(set) var count = 0

    /// - Parameters:
    ///   - users: new names for senders.
    ///   - takesOld: whether times before 1990 are taken.
    ///   - progress: is called with the number of messages, now and then.
    init(
        directory: String, users: [String: String], now: Timestamp, takesOld: Bool, progress: @escaping (Int) -> Void
    ) throws {
        file = try UnnamedFile(directory: directory)
        (self.users, self.now, self.takesOld, self.progress) = (users, now, takesOld, progress)
        unseenUsers = Set(users.keys)
    }

    /// The channels that have messages, by name.
    var channels: [Channel] {
        channelsByName.values.filter { $0.count > 0 }.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    }

    // MARK: Writing

    func settle(_ channel: ForeignChannel) {
        channelsByName[channel.name, default: Channel(name: channel.name)].people = channel.people.map { people in
            people.map(renamed)
        }
    }

    private func renamed(_ name: String) -> String {
        guard let user = users[name] else { return name }
        unseenUsers.remove(name)
        return user
    }

    func note(_ text: Phrase) { notes.append(text) }

    func skip(_ kind: String, count: Int) {
        if count > 0 { skipped[kind, default: 0] += count }
    }

    func take(_ message: ForeignMessage, channel: String, part: String) throws {
        // The clocks of strangers, as in mail, show anything.
        guard Timestamp.range.contains(message.time),
            message.time <= now.advanced(milliseconds: Limits.importAheadMilliseconds)
        else { return skip("bad_time", count: 1) }
        // What no message can have is left out, and may have been all of it.
        if message.text.utf8.first == 0, message.text.utf8.allSatisfy({ $0 == 0 }) {
            return skip("without_text", count: 1)
        }
        // Old exports of Telegram give each message that nobody edited a time long ago.
        let edited = message.edited.flatMap { $0 > message.time ? $0 : nil }
        if let edited, edited > now.advanced(milliseconds: Limits.importAheadMilliseconds) {
            throw CommandFailure(
                .invalidData, code: "bad_time",
                "a message of '\(message.sender)' in '\(channel)' was edited at \(edited.rfc3339), which lies ahead; nothing "
                    + "was imported")
        }
        guard takesOld || message.time.milliseconds >= Limits.importOldMilliseconds else {
            throw CommandFailure(
                .invalidData, code: "bad_time",
                "a message of '\(message.sender)' in '\(channel)' has the time \(message.time.rfc3339), before 1990; --old "
                    + "takes it; nothing was imported")
        }
        let isContinued = open.map { $0.channel == channel && $0.part == part } ?? false
        if !isContinued {
            try flush()
            open = (channel, part)
        }
        var line = ForeignLine(
            ts: message.time.milliseconds, sender: ImportSpool.label(renamed(message.sender)), text: "",
            id: message.id, answers: message.answers, edited: edited?.milliseconds)
        for text in ImportSpool.pieces(message.text) {
            line.text = text
            pending += WireJSON.encode(line)
            pending.append(0x0A)
            (line.id, line.answers) = (nil, nil)
            channelsByName[channel, default: Channel(name: channel)].count += 1
            count += 1
        }
        if pending.count >= ImportSpool.chunkBytes { try flush() }
        if count % 1_000 == 0 { progress(count) }
    }

    /// Call after the last message.
    func finish() throws { try flush() }

    private func flush() throws {
        guard let (channel, part) = open, !pending.isEmpty else { return }
        try file.write(pending, at: fileBytes)
        let range = fileBytes..<fileBytes + UInt64(pending.count)
        fileBytes = range.upperBound
        pending.removeAll(keepingCapacity: true)
        let order = channelsByName[channel]?.parts.count ?? 0
        channelsByName[channel, default: Channel(name: channel)].parts.append(
            Part(name: part, range: range, order: order))
    }

    /// A sender's name that a message can have.
    private static func label(_ name: String) -> String {
        let clean = name.filter { $0 != "\0" }
        guard clean.utf8.count > NameRule.maximumBytes else { return clean.isEmpty ? "unknown" : clean }
        return prefix(clean[...], bytes: NameRule.maximumBytes)
    }

    /// A text in pieces that a message can have, which end with lines where that is possible.
    private static func pieces(_ text: String) -> [String] {
        let limit = Limits.textBytes.upperBound
        let clean = text.utf8.contains(0) ? text.replacing("\0", with: "") : text
        guard clean.utf8.count > limit else { return [clean] }
        var pieces: [String] = []
        var rest = clean[...]
        while rest.utf8.count > limit {
            let most = prefix(rest, bytes: limit)
            let piece = most.utf8.lastIndex(of: 0x0A).map { String(most[...$0]) } ?? most
            pieces.append(piece)
            rest = Substring(rest.unicodeScalars.dropFirst(piece.unicodeScalars.count))
        }
        if !rest.isEmpty { pieces.append(String(rest)) }
        return pieces
    }

    /// As many whole characters of a text as fit.
    private static func prefix(_ text: Substring, bytes limit: Int) -> String {
        var result = String.UnicodeScalarView()
        var count = 0
        for scalar in text.unicodeScalars {
            count += UTF8.width(scalar)
            if count > limit { break }
            result.append(scalar)
        }
        return String(result)
    }

    // MARK: Reading

    /// Reads the messages of some channels, one channel after another, each in order.
    func lines(of channels: [Channel]) -> ForeignLines {
        let parts = channels.flatMap { channel in
            channel.parts.sorted { ($0.name, $0.order) < ($1.name, $1.order) }.map(\.range)
        }
        return ForeignLines(file, parts)
    }
}

/// The messages of a conversation, numbered, as the data of an operation.
final class ForeignLines: InputSource {
    private let file: UnnamedFile
    private var ranges: ArraySlice<Range<UInt64>>
    private var numbers: [String: UInt64] = [:]
    private var number: UInt64 = 0
    private var ready: ArraySlice<UInt8> = []
    /// Answers to messages that are not in the file.
    private(set) var orphans = 0

    fileprivate init(_ file: UnnamedFile, _ ranges: [Range<UInt64>]) { (self.file, self.ranges) = (file, ranges[...]) }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws(CommandFailure) -> Int {
        while ready.isEmpty {
            guard let range = ranges.popFirst() else { return 0 }
            do {
                let bytes = try file.read(count: Int(clamping: range.count), at: range.lowerBound)
                ready = try translated(bytes)[...]
            } catch let error as DiskError {
                throw CommandFailure(error)
            } catch {
                throw CommandFailure(.inputOutput, code: "io_error", "cannot read what was kept of the import")
            }
        }
        let count = min(buffer.count, ready.count)
        buffer.copyBytes(from: ready.prefix(count))
        ready = ready.dropFirst(count)
        return count
    }

    /// Replaces ids by numbers. An answer to a message that is not there, or that comes later, becomes a plain message.
    private func translated(_ bytes: [UInt8]) throws -> [UInt8] {
        var output: [UInt8] = []
        for part in bytes.split(separator: 0x0A) {
            var line = try WireJSON.decode(ForeignLine.self, from: part)
            number += 1
            if let answers = line.answers {
                line.about = numbers[answers]
                if line.about == nil { orphans += 1 }
            }
            if let id = line.id { numbers[id] = number }
            (line.id, line.answers) = (nil, nil)
            output += WireJSON.encode(line)
            output.append(0x0A)
        }
        return output
    }
}
