internal import NatterLanguage
internal import NatterModel

/// The `result.json` of Telegram Desktop: one chat, or all of them. A zip file that contains one works, too.
///
/// - SeeAlso: Telegram Desktop, `Telegram/SourceFiles/export/output/export_output_json.cpp`.
final class TelegramExport {
    private let file: ForeignFile
    /// The account that made the export.
    private var owner: String?
    private var chat = Chat()
    /// What each chat says of itself, in the order of the file: it may stand behind the messages.
    private var heads: [Chat] = []
    /// How many chats have a name.
    private var names: [String: Int] = [:]

    private struct Chat {
        var name: String?
        var type = ""
        var id = ""
        /// Those who wrote, for a chat of two. Only the first few.
        var senders: [String] = []
        /// The name by which people know it, in the file and with `--map`. It is nil until the first message.
        var channel: String?

        var title: String { type == "saved_messages" ? "saved messages" : name ?? "chat \(id)" }
    }

    init(_ file: ForeignFile) { self.file = file }

    /// Reads the names of all chats first: of two that have the same, neither may take the other's place in a later export.
    func read(into sink: any HistorySink) throws {
        try visit(withMessages: false) { _ in
        } finish: {
            names[chat.title, default: 0] += 1
            heads.append(chat)
        }
        var hasMessages = false
        try visit(withMessages: true) { message in
            guard let message else { return sink.skip("malformed") }
            hasMessages = true
            try take(message, sink)
        } finish: {
            try settle(sink)
        }
        if !hasMessages { throw file.malformed("no chat in it; export as JSON") }
        for _ in 1..<max(1, file.count(of: TelegramExport.isExport)) { sink.skip("further_exports") }
    }

    private static func isExport(_ member: String) -> Bool {
        member == "result.json" || member.hasSuffix("/result.json")
    }

    /// A chat is the whole document, or an item of a list of chats or of chats that were left.
    private func visit(
        withMessages: Bool, _ take: (JSON?) throws -> Void, finish: () throws -> Void
    ) throws {
        var heads = heads[...]
        chat = heads.popFirst() ?? Chat()
        try file.content(TelegramExport.isExport) { name, bytes in
            func isChat(_ path: some BidirectionalCollection<String>) -> Bool {
                path.isEmpty || (path.count == 3 && path.last == "*" && path.dropFirst().first == "list")
            }
            try JSONDocument(bytes, name: file.isArchive ? name : file.path).visit { path in
                if path.count == 3, isChat(path) {
                    try finish()
                    chat = heads.popFirst() ?? Chat()
                }
                if isChat(path) || path == ["chats"] || path == ["left_chats"] { return .enter }
                if path == ["personal_information"] { return .take }
                if path.count == 2, path[1] == "list" { return .enter }
                guard let field = path.last else { return .skip }
                let around = path.dropLast()
                if isChat(around) {
                    if field == "messages" { return withMessages ? .enter : .skip }
                    return ["name", "type", "id"].contains(field) ? .take : .skip
                }
                return field == "*" && around.last == "messages" && isChat(around.dropLast()) ? .take : .skip
            } _: { path, value in
                switch path.last {
                case "*": try take(value)
                case "personal_information":
                    let names = [value?["first_name"]?.string, value?["last_name"]?.string]
                    owner = names.compactMap { $0 }.joined(separator: " ")
                case "name": chat.name = value?.string
                case "type": chat.type = value?.string ?? ""
                case "id": chat.id = value?.word ?? ""
                default: break
                }
            }
            try finish()
        }
    }

    private func channel() -> String {
        if let channel = chat.channel { return channel }
        let unique = names[chat.title, default: 0] > 1 ? "\(chat.title) \(chat.id)" : chat.title
        chat.channel = unique
        return unique
    }

    private func settle(_ sink: any HistorySink) throws {
        guard let channel = chat.channel else { return }
        var people: [String]?
        switch chat.type {
        case "saved_messages": people = [owner ?? chat.senders.first ?? TelegramExport.unnamed]
        case "personal_chat", "bot_chat":
            let other = chat.name ?? chat.senders.first { $0 != owner } ?? TelegramExport.unnamed
            people = [owner ?? chat.senders.first { $0 != other } ?? TelegramExport.unnamed, other]
        default: people = nil
        }
        try sink.settle(ForeignChannel(name: channel, people: people))
        chat.channel = nil
    }

    /// Who took part in a chat and is not named, as for `--map-user`.
    private static let unnamed = "owner of the export"

    private func take(_ message: JSON, _ sink: any HistorySink) throws {
        let channel = channel()
        guard message["type"]?.string == "message" else {
            return sink.skip(message["action"]?.string ?? message["type"]?.string ?? "without_type")
        }
        guard let id = message["id"]?.word, let time = time(of: message, "date") else {
            return sink.skip("without_time")
        }
        let sender = message["from"]?.string ?? message["from_id"]?.word ?? "deleted account"
        if chat.senders.count < 3, !chat.senders.contains(sender) { chat.senders.append(sender) }
        sink.skip("reactions", count: message["reactions"]?.items.count ?? 0)

        var lines = [TelegramExport.text(message["text"])].filter { !$0.isEmpty }
        if let media = media(of: message) {
            sink.skip("file_contents")
            lines.append("[\(media)]")
        }
        if let poll = message["poll"] {
            lines.append(poll["question"]?.string ?? "[poll]")
            lines += (poll["answers"]?.items ?? []).compactMap { $0["text"]?.string }.map { "- " + $0 }
        }
        if let source = message["forwarded_from"]?.string { lines.insert("[from \(source)]", at: 0) }
        guard !lines.isEmpty else { return sink.skip("without_text") }
        // The number may be one of another chat.
        let isOutside = message["reply_to_peer_id"]?.word != nil
        if isOutside { sink.skip("answers_to_missing") }
        let reply = isOutside ? nil : message["reply_to_message_id"]?.word
        try sink.take(
            ForeignMessage(
                time: time, sender: sender, text: lines.joined(separator: "\n"), id: key(id),
                answers: reply.map(key), edited: self.time(of: message, "edited")),
            channel: channel, part: "")
    }

    private func key(_ id: String) -> String { "telegram:\(chat.id):\(id)" }

    private func media(of message: JSON) -> String? {
        if let emoji = message["sticker_emoji"]?.string { return "sticker \(emoji)" }
        if let type = message["media_type"]?.string { return message["file_name"]?.string ?? type }
        if message["photo"]?.string != nil { return "photo" }
        return message["file_name"]?.string ?? message["file"]?.string.map { _ in "file" }
    }

    /// A text is a string, or a list of strings and of pieces with a type, such as links.
    private static func text(_ value: JSON?) -> String {
        switch value {
        case .string(let text): text
        case .array(let pieces):
            pieces.map { piece in
                let text = piece["text"]?.string ?? text(piece["text"] == nil ? piece : nil)
                guard let target = piece["href"]?.string, target != text else { return text }
                return "\(text) (\(target))"
            }.joined()
        default: ""
        }
    }

    /// Older exports have only the local time of the machine that made them.
    private func time(of message: JSON, _ field: String) -> Timestamp? {
        let unix = field == "date" ? message["date_unixtime"] : message["edited_unixtime"]
        if let seconds = unix?.integer, seconds.magnitude < 1 << 40 { return Timestamp(milliseconds: seconds * 1_000) }
        let text = field == "date" ? message["date"] : message["edited"]
        return text?.string.flatMap { ClockReading(iso: $0) }?.moment
    }
}
