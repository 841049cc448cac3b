internal import NatterCommandLine
internal import NatterModel
internal import NatterStore
internal import NatterSystem
internal import NatterProtocol

/// A line that a converter prints.
private struct ConvertedLine: Decodable {
    let conversation: String
    /// Those who talk in the conversation alone, two or one. The first line of a conversation says it.
    let people: [String]?
    /// The members of the conversation; the first line of one says them, and its topic.
    let members: [ImportedPeople.Member]?
    let topic: String?
    let seq: ImportLine.LineSeq?
    let ts: ImportLine.LineTime
    let sender: String
    let text: String
    /// The seq of an earlier line of the conversation.
    let about: ImportLine.LineNumber<UInt64>?
    /// When the text was last changed, in Unix milliseconds.
    let edited: ImportLine.LineNumber<Int64>?
}

/// One message of another program on its way to the store, as a line of JSON.
struct ForeignLine: Codable {
    var ts: Int64
    var sender: String
    var text: String
    /// The number of the message that this one answers, where those of a conversation count from 1.
    var about: UInt64?
    /// When the text was last changed, in Unix milliseconds.
    var edited: Int64?
}

/// Keeps what a converter prints in an unnamed file, channel by channel, until all of it is known to be good.
final class ImportSpool {
    struct Channel {
        let name: String
        fileprivate(set) var people: [String]?
        fileprivate(set) var members = ImportedPeople()
        fileprivate(set) var count: UInt64 = 0
        /// Messages that stand together in the file.
        fileprivate var parts: [Range<UInt64>] = []
        /// The numbers of the messages by their seqs.
        fileprivate var numbers: [UInt64: UInt64] = [:]
    }

    private static let chunkBytes = 256 << 10

    private let file: UnnamedFile
    private let users: [String: String]
    /// Names of `users` that nobody has had yet.
    private(set) var unseenUsers: Set<String>
    private let now: Timestamp
    private let takesOld: Bool
    private let progress: (UInt64) -> Void
    private var fileBytes: UInt64 = 0
    private var pending: [UInt8] = []
    private var open: String?
    private var channelsByName: [String: Channel] = [:]
    private var count: UInt64 = 0

    /// - Parameters:
    ///   - users: new names for senders.
    ///   - takesOld: whether times before 1990 are taken.
    ///   - progress: is called with the number of messages, now and then.
    init(
        directory: String, users: [String: String], now: Timestamp, takesOld: Bool, progress: @escaping (UInt64) -> Void
    ) throws {
        file = try UnnamedFile(directory: directory)
        (self.users, self.now, self.takesOld, self.progress) = (users, now, takesOld, progress)
        unseenUsers = Set(users.keys)
    }

    /// The channels, by name.
    var channels: [Channel] {
        channelsByName.values.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    }

    // MARK: Writing

    /// Takes all lines of a converter.
    ///
    /// - Throws: 65 for a line that can't be imported.
    func appendLines(_ lines: inout LineReader, of converter: String) throws {
        do {
            while let line = try lines.next() {
                if !line.allSatisfy({ $0 == 0x20 || $0 == 0x09 }) { try append(line) }
            }
            try flush()
        } catch {
            throw ImportCommand.failure(error, "\(converter), line \(lines.number)")
        }
    }

    private func append(_ bytes: [UInt8]) throws {
        let line = try WireJSON.decode(ConvertedLine.self, from: bytes)
        guard let milliseconds = line.ts.milliseconds else { throw ImportError.badMessage(.timeWithFraction) }
        let time = Timestamp(milliseconds: milliseconds)
        let sender = renamed(line.sender)
        var channel = channelsByName.removeValue(forKey: line.conversation) ?? Channel(name: line.conversation)
        defer { channelsByName[line.conversation] = channel }
        try check(time, sender, line.text)
        let edited = line.edited.map { Timestamp(milliseconds: $0.value) }.flatMap { $0 > time ? $0 : nil }
        if let edited, edited > now.advanced(milliseconds: Limits.importAheadMilliseconds) {
            throw ImportError.badMessage(.timeAhead(edited))
        }
        let about = try line.about.map { about in
            guard let number = channel.numbers[about.value] else {
                throw ImportError.badMessage(.badAbout(about.value))
            }
            return number
        }
        if let people = line.people, (1...2).contains(people.count) { channel.people = people.map(renamed) }
        if let members = line.members {
            channel.members.members = members.map {
                ImportedPeople.Member(
                    name: renamed($0.name), display: $0.display.flatMap { label($0, Limits.displayCharacters) })
            }
        }
        if let topic = line.topic { channel.members.topic = label(topic, Limits.topicCharacters) }
        channel.count += 1
        if let seq = line.seq?.value { channel.numbers[seq] = channel.count }
        if open != line.conversation {
            try flush(into: &channel)
            open = line.conversation
        }
        pending += WireJSON.encode(
            ForeignLine(
                ts: milliseconds, sender: sender, text: line.text, about: about, edited: edited?.milliseconds))
        pending.append(0x0A)
        if pending.count >= ImportSpool.chunkBytes { try flush(into: &channel) }
        count += 1
        if count % 1_000 == 0 { progress(count) }
    }

    /// A text that is shown beside a name, cut where it is too long; nil for none.
    private func label(_ text: String, _ length: ClosedRange<Int>) -> String? {
        let label = String(text.unicodeScalars.filter { $0 != "\0" }.prefix(length.upperBound))
        return label.isEmpty ? nil : label
    }

    private func check(_ time: Timestamp, _ sender: String, _ text: String) throws {
        do throws(ImportedMessageError) {
            try ImportedMessageError.check(
                time: time, sender: Array(sender.utf8), text: Array(text.utf8), kind: .text, via: nil, now: now,
                takesOld: takesOld)
        } catch {
            throw ImportError.badMessage(error)
        }
    }

    private func renamed(_ name: String) -> String {
        guard let user = users[name] else { return name }
        unseenUsers.remove(name)
        return user
    }

    /// Writes what is pending.
    ///
    /// - Parameter current: the channel that is not among the others while a line of it is taken.
    private func flush(into current: inout Channel) throws {
        guard let open, !pending.isEmpty else { return }
        try file.write(pending, at: fileBytes)
        let range = fileBytes..<fileBytes + UInt64(pending.count)
        fileBytes = range.upperBound
        pending.removeAll(keepingCapacity: true)
        if open == current.name { current.parts.append(range) } else { channelsByName[open]?.parts.append(range) }
    }

    private func flush() throws {
        guard let open, var channel = channelsByName[open] else { return }
        try flush(into: &channel)
        channelsByName[open] = channel
    }

    // MARK: Reading

    /// Reads the messages of some channels, one channel after another, each in order.
    func lines(of channels: [Channel]) -> ForeignLines { ForeignLines(file, channels) }
}

/// The messages of a conversation, numbered, as the data of an operation.
final class ForeignLines: InputSource {
    private let file: UnnamedFile
    /// The parts of the channels, each with the number of messages before its channel.
    private var parts: ArraySlice<(range: Range<UInt64>, before: UInt64)> = []
    private var ready: ArraySlice<UInt8> = []

    fileprivate init(_ file: UnnamedFile, _ channels: [ImportSpool.Channel]) {
        self.file = file
        var before: UInt64 = 0
        for channel in channels {
            for range in channel.parts { parts.append((range, before)) }
            before += channel.count
        }
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws(CommandFailure) -> Int {
        while ready.isEmpty {
            guard let (range, before) = parts.popFirst() else { return 0 }
            do {
                let bytes = try file.read(count: Int(clamping: range.count), at: range.lowerBound)
                ready = (before == 0 ? bytes : try shifted(bytes, by: before))[...]
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

    /// Replaces the numbers of a channel by those of the conversation that other channels began.
    private func shifted(_ bytes: [UInt8], by before: UInt64) throws -> [UInt8] {
        var output: [UInt8] = []
        for part in bytes.split(separator: 0x0A) {
            var line = try WireJSON.decode(ForeignLine.self, from: part)
            line.about = line.about.map { $0 + before }
            output += WireJSON.encode(line)
            output.append(0x0A)
        }
        return output
    }
}
