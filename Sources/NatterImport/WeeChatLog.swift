internal import NatterLanguage
internal import NatterModel

/// A log of WeeChat's logger: the time, the nick and the text, with tabs between them.
///
/// - SeeAlso: WeeChat user's guide, "Logger plugin", option `logger.file.time_format`.
final class WeeChatLog: ChatLog {
    func read(into sink: any HistorySink) throws {
        let channel = WeeChatLog.channel(file.name)
        try sink.settle(ForeignChannel(name: channel, people: nil))
        var isLog = false
        try eachLine(of: file.bytes()) { line in
            if line.isEmpty { return }
            let parts = line.split(separator: "\t", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { return sink.skip("other_lines") }
            let exact = Timestamp(rfc3339: parts[0])
            let clock = ClockReading(iso: parts[0])
            guard let time = exact ?? clock?.moment else { return sink.skip("other_lines") }
            isLog = true
            let prefix = parts[1].drop { $0 == " " }
            var text = String(parts[2])
            var nick = WeeChatLog.nick(prefix)
            switch prefix {
            case "-->", "<--", "--", "=!=", "": return sink.skip("events")
            // An action: ' *', and the text begins with the nick.
            case "*": nick = WeeChatLog.nick(text.prefix { $0 != " " })
            default: break
            }
            if nick.isEmpty { return sink.skip("other_lines") }
            if text.isEmpty { return sink.skip("without_text") }
            if prefix == "*" { text = String(text.drop { "@+%~&!".contains($0) }) }
            try sink.take(ForeignMessage(time: time, sender: nick, text: text), channel: channel, part: "")
        }
        if !isLog { throw file.malformed("no line with a time, a nick and a text, as WeeChat writes") }
    }

    /// `irc.libera.#ops` is the name of the file of '#ops'.
    private static func channel(_ name: String) -> String {
        if let hash = name.firstIndex(of: "#") { return String(name[hash...]) }
        return name.split(separator: ".").last.map(String.init) ?? name
    }
}
