internal import NatterLanguage
internal import NatterModel

/// A workspace that Slack exported as a zip file: lists of users and channels, and for each channel a directory with a file
/// for each day.
///
/// - SeeAlso: Slack's help, "How to read Slack data exports"; Slack's API, "message event" and "Formatting text".
final class SlackExport {
    private static let userLists = ["users.json", "org_users.json"]
    /// A channel, a private channel, a group of a few people, or two people.
    private static let channelLists = ["channels.json", "groups.json", "mpims.json", "dms.json"]

    private let file: ForeignFile
    private var users: [String: String] = [:]
    private var channels: [String: ForeignChannel] = [:]
    /// The names of channels by their ids, for links to them.
    private var channelNames: [String: String] = [:]
    /// The channels in the order of the file, because a message's `ts` is unique only in its channel.
    private var settled: [String: Int] = [:]
    private var hasDirectory = false

    init(_ file: ForeignFile) { self.file = file }

    func read(into sink: any HistorySink) throws {
        guard file.isArchive else { throw file.malformed("a Slack export is a zip file") }
        var isExport = false
        let isList = { SlackExport.userLists.contains($0) || SlackExport.channelLists.contains($0) }
        hasDirectory =
            try file.member { path in
                let parts = SlackExport.parts(path)
                guard parts.count <= 2, let last = parts.last, isList(last) else { return nil }
                return -parts.count
            }.map { SlackExport.parts($0).count == 2 } ?? false
        // The lists may stand behind the messages.
        let lists = try Archive(file)
        while let path = try lists.next() {
            let name = inner(path)
            guard name.count == 1 else { continue }
            if SlackExport.userLists.contains(name[0]) {
                isExport = true
                try eachItem(of: lists, path, sink) { noteUser($0) }
            } else if SlackExport.channelLists.contains(name[0]) {
                isExport = true
                try eachItem(of: lists, path, sink) { noteChannel($0) }
            }
        }
        guard isExport else { throw file.malformed("no 'users.json' or 'channels.json' in this zip file") }
        nameTwo()
        let days = try Archive(file)
        while let path = try days.next() {
            let parts = inner(path)
            guard parts.count == 2, parts[1].hasSuffix(".json") else {
                if parts.count > 1 { sink.skip("files") }
                continue
            }
            let channel = channels[parts[0]] ?? ForeignChannel(name: parts[0], people: nil)
            let number = settled[parts[0]] ?? settled.count
            if settled.updateValue(number, forKey: parts[0]) == nil { try sink.settle(channel) }
            try eachItem(of: days, path, sink) { try take($0, channel, number, day: parts[1], sink) }
        }
    }

    /// The path in the zip file; empty for what a Mac adds to zip files.
    private static func parts(_ path: String) -> [String] {
        let parts = path.split(separator: "/").map(String.init).filter { $0 != "." }
        return parts.contains { $0 == "__MACOSX" || $0.hasPrefix("._") } ? [] : parts
    }

    /// The path without the directory that is around everything in some zip files.
    private func inner(_ path: String) -> [String] {
        let parts = SlackExport.parts(path)
        return hasDirectory ? Array(parts.dropFirst()) : parts
    }

    private func eachItem(
        of archive: Archive, _ path: String, _ sink: any HistorySink, _ body: (JSON) throws -> Void
    ) throws {
        try JSONDocument(archive.bytes(), name: path).visit({ $0.isEmpty ? .enter : .take }) { _, item in
            if let item { try body(item) } else { sink.skip("malformed") }
        }
    }

    // MARK: Lists

    private func noteUser(_ user: JSON) {
        guard let id = user["id"]?.string else { return }
        users[id] = user["name"]?.string ?? user["profile"]?["display_name"]?.string ?? user["real_name"]?.string ?? id
    }

    private func noteChannel(_ channel: JSON) {
        guard let id = channel["id"]?.string else { return }
        if let name = channel["name"]?.string {
            channels[name] = ForeignChannel(name: name, people: nil)
            channelNames[id] = name
        } else {
            // Two people, by their ids until all users are known. The directory has the name of the id.
            channels[id] = ForeignChannel(name: id, people: (channel["members"]?.items ?? []).compactMap(\.string))
        }
    }

    /// Gives the conversations of two people the names of both.
    private func nameTwo() {
        for (id, channel) in channels {
            guard let people = channel.people else { continue }
            let names = people.map { users[$0] ?? $0 }
            channels[id] = ForeignChannel(name: names.map { "@" + $0 }.joined(separator: ","), people: names)
        }
    }

    // MARK: Messages

    private func take(
        _ message: JSON, _ channel: ForeignChannel, _ number: Int, day: String, _ sink: any HistorySink
    ) throws {
        sink.skip("reactions", count: message["reactions"]?.items.count ?? 0)
        let kind = message["subtype"]?.string
        if let kind, !["bot_message", "me_message", "thread_broadcast", "file_share", "file_comment"].contains(kind) {
            return sink.skip(kind)
        }
        guard let ts = message["ts"]?.word, let time = SlackExport.time(ts) else { return sink.skip("without_time") }
        let files = message["files"]?.items ?? message["file"].map { [$0] } ?? []
        sink.skip("file_contents", count: files.count)
        let text = plain(message["text"]?.string ?? "")
        // Programs lay out what they say in blocks, and have this text for those who can't show them.
        let isLaidOut = text.isEmpty || text == "This content can't be displayed."
        let attachments = message["attachments"]?.items ?? []
        var lines: [String] = []
        if isLaidOut {
            lines = (message["blocks"]?.items ?? []).flatMap(texts) + attachments.flatMap(attachedTexts)
        } else {
            sink.skip("attachments", count: attachments.count)
        }
        if lines.isEmpty, !text.isEmpty { lines = [text] }
        lines += files.map { "[" + ($0["title"]?.string ?? $0["name"]?.string ?? "file") + "]" }
        guard !lines.isEmpty else { return sink.skip("without_text") }
        let thread = message["thread_ts"]?.word
        try sink.take(
            ForeignMessage(
                time: time, sender: sender(of: message), text: lines.joined(separator: "\n"),
                id: "slack:\(number):\(ts)",
                answers: thread.flatMap { $0 == ts ? nil : "slack:\(number):\($0)" },
                edited: message["edited"]?["ts"]?.word.flatMap(SlackExport.time)),
            channel: channel.name, part: day)
    }

    private func sender(of message: JSON) -> String {
        let id = message["user"]?.string ?? message["comment"]?["user"]?.string
        if let id, let name = users[id] { return name }
        let names = [message["user_profile"]?["name"], message["username"], message["bot_profile"]?["name"]]
        return names.lazy.compactMap { $0?.string }.first ?? id ?? message["bot_id"]?.string ?? "unknown"
    }

    /// `1355517523.000005`: seconds, and a number that makes it unique in its channel.
    private static func time(_ ts: String) -> Timestamp? {
        let parts = ts.split(separator: ".", maxSplits: 1)
        guard ts.utf8.count <= 32, let first = parts.first, let seconds = Int64(first),
            seconds.magnitude < 1 << 40, parts.allSatisfy({ $0.utf8.areASCIIDigits })
        else { return nil }
        let fraction = parts.count > 1 ? (parts[1] + "000").prefix(3) : "0"
        return Timestamp(milliseconds: seconds * 1_000 + (Int64(fraction) ?? 0))
    }

    // MARK: Text

    private func attachedTexts(_ attachment: JSON) -> [String] {
        func field(_ name: String) -> [String] { [attachment[name]?.string].compactMap { $0.map(plain) } }
        let fields = (attachment["fields"]?.items ?? []).map { field in
            [field["title"]?.string, field["value"]?.string].compactMap { $0.map(plain) }.joined(separator: ": ")
        }
        let body = field("text") + fields + (attachment["blocks"]?.items ?? []).flatMap(texts)
        if !body.isEmpty { return field("pretext") + field("title") + body }
        let short = field("fallback").isEmpty ? field("title") : field("fallback")
        return field("pretext").filter { !short.contains($0) } + short
    }

    /// What people read in a block.
    ///
    /// - SeeAlso: Slack's "Reference: Blocks".
    private func texts(_ block: JSON) -> [String] {
        let elements = block["elements"]?.items ?? []
        let found: [String] =
            switch block["type"]?.string {
            case "section", "header":
                ([block["text"]] + (block["fields"]?.items ?? [])).compactMap { $0?["text"]?.string }.map(plain)
            case "markdown": [block["text"]?.string].compactMap { $0 }
            case "image", "video": [block["title"]?["text"]?.string ?? block["alt_text"]?.string].compactMap { $0 }
            case "context": elements.compactMap { $0["text"]?.string }.map(plain)
            case "rich_text": elements.map(richText)
            default: []
            }
        return found.filter { !$0.isEmpty }
    }

    private func richText(_ element: JSON) -> String {
        switch element["type"]?.string {
        case "text": element["text"]?.string ?? ""
        case "link": element["text"]?.string ?? element["url"]?.string ?? ""
        case "user": element["user_id"]?.string.map { "@" + (users[$0] ?? $0) } ?? ""
        case "channel": element["channel_id"]?.string.map { "#" + (channelNames[$0] ?? $0) } ?? ""
        case "broadcast": element["range"]?.string.map { "@" + $0 } ?? ""
        case "usergroup": element["usergroup_id"]?.string.map { "@" + $0 } ?? ""
        case "date": element["fallback"]?.string ?? ""
        case "emoji": element["name"]?.string.map { ":\($0):" } ?? ""
        case "rich_text_list": (element["elements"]?.items ?? []).map(richText).joined(separator: "\n")
        default: (element["elements"]?.items ?? []).map(richText).joined()
        }
    }

    /// Undoes Slack's markup of users, channels and links. Emphasis stays as people wrote it.
    private func plain(_ text: String) -> String {
        guard text.utf8.contains(where: { $0 == UInt8(ascii: "<") || $0 == UInt8(ascii: "&") }) else { return text }
        var result = ""
        var rest = text[...]
        while let start = rest.utf8.firstIndex(of: UInt8(ascii: "<")),
            let end = rest[start...].utf8.firstIndex(of: UInt8(ascii: ">"))
        {
            result += SlackExport.unescaped(rest[..<start]) + link(rest[rest.utf8.index(after: start)..<end])
            rest = rest[rest.utf8.index(after: end)...]
        }
        return result + SlackExport.unescaped(rest)
    }

    /// What stands between `<` and `>`: a target, and after `|` what people see.
    private func link(_ inner: Substring) -> String {
        // By bytes, as below.
        let bar = inner.utf8.firstIndex(of: UInt8(ascii: "|")) ?? inner.endIndex
        let target = SlackExport.unescaped(inner[..<bar])
        let text = SlackExport.unescaped(Substring(inner.utf8[bar...].dropFirst()))
        let label = text.isEmpty ? nil : text
        switch target.first {
        case "@": return "@" + (users[String(target.dropFirst())] ?? label ?? String(target.dropFirst()))
        case "#": return "#" + (label ?? channelNames[String(target.dropFirst())] ?? String(target.dropFirst()))
        case "!":
            let word = String(target.dropFirst())
            // Everybody, or everybody who is there. Groups of users and dates have a label to show.
            if let label, !["here", "channel", "everyone"].contains(word) { return label }
            return "@" + word.prefix { $0 != "^" }
        default:
            guard let label else { return target }
            // Where people wrote an address, Slack has put only its scheme before it.
            let isWritten = ["", "http://", "https://", "mailto:", "tel:"].contains { $0 + label == target }
            return isWritten ? label : "\(label) (\(target))"
        }
    }

    private static let escapes = [("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")]

    /// Looks at bytes: comparing characters is slow in long runs of flags, and misses an escape before a combining mark.
    private static func unescaped(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let start = rest.firstIndex(of: UInt8(ascii: "&")) {
            bytes += rest[..<start]
            let (escape, meaning) = escapes.first { rest[start...].starts(with: $0.0.utf8) } ?? ("&", "&")
            bytes += meaning.utf8
            rest = rest[start...].dropFirst(escape.utf8.count)
        }
        return String(decoding: bytes + rest, as: UTF8.self)
    }
}
