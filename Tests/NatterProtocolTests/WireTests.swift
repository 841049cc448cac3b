internal import Foundation
import NatterModel
import NatterProtocol
import Testing
internal import TestSupport

@Suite("JSON without the encoder and the decoder")
struct WireTests {
    /// As the encoder writes it.
    private func encoded(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(value))
    }

    private func text(_ count: Int, _ generator: inout SeededGenerator) -> String {
        let special: [Unicode.Scalar] = ["\"", "\\", "/", "\n", "\u{0}", "\u{1F}", "\u{7F}", "\u{2028}", "é", "𝄞"]
        var text = ""
        for _ in 0..<Int.random(in: 0...count, using: &generator) {
            let scalar =
                Bool.random(using: &generator)
                ? special.randomElement(using: &generator)
                : Unicode.Scalar(UInt32.random(in: 0...0x2FFF, using: &generator))
            if let scalar { text.unicodeScalars.append(scalar) }
        }
        return text
    }

    private func message(_ generator: inout SeededGenerator, hasFiles: Bool = false) -> MessageObject {
        let id = ConversationID(using: &generator)
        let seq = Seq(UInt64.random(in: 1...UInt64(Int64.max), using: &generator))
        var message = Message(
            conversation: text(10, &generator), conversationID: id, seq: seq,
            cursor: MessageCursor(conversation: id, seq: seq, hashPrefix: generator.next()),
            time: Timestamp(milliseconds: Int64.random(in: -1_000_000...2_000_000_000_000, using: &generator)),
            sender: text(10, &generator), text: text(60, &generator),
            kind: Bool.random(using: &generator)
                ? .text : MessageKind(rawValue: UInt8.random(in: 0...9, using: &generator)),
            about: Bool.random(using: &generator) ? nil : Seq(7), isImported: Bool.random(using: &generator))
        let file = (0..<32).map { _ in UInt8.random(in: 0...255, using: &generator) }
        if hasFiles, let id = FileID(bytes: file), Bool.random(using: &generator),
            let file = FileRecord(
                id: id, key: Array(file.prefix(16)), size: generator.next() >> 1, type: "image/png", name: "\"\\𝄞")
        {
            message.files = [file, file]
        }
        return MessageObject(message, type: Bool.random(using: &generator) ? "message" : nil)
    }

    @Test("an export has no line about a message without a line")
    func gaps() throws {
        func line(_ seq: UInt64, kind: MessageKind = .text, about: UInt64?) -> ExportLine {
            [UInt8]().withUnsafeBytes { text in
                ExportLine(
                    seq: Seq(seq), time: Timestamp(milliseconds: 0), sender: [0x61], text: text, kind: kind,
                    about: about.map { Seq($0) }, via: nil, written: nil, isErased: false)
            }
        }
        var gaps = ExportGaps(before: Seq(5))
        gaps.add(Seq(10)...Seq(12))
        gaps.add(Seq(20)...Seq(20))
        for (about, isThere) in [
            (nil, true), (4, false), (5, true), (9, true), (10, false), (12, false), (13, true), (20, false),
            (21, true),
        ] as [(UInt64?, Bool)] {
            #expect(gaps.line(line(30, about: about)) == line(30, about: isThere ? about : nil))
            guard about != nil else { continue }
            for kind in [MessageKind.edit, .delete] {
                let changing = line(30, kind: kind, about: about)
                #expect(gaps.line(changing) == (isThere ? changing : nil))
            }
        }
    }

    @Test("an object is a message only if a log can hold it")
    func impossible() throws {
        let id = ConversationID(high: 1, low: 2)
        let object = MessageObject(
            Message(
                conversation: "general", conversationID: id, seq: Seq(9),
                cursor: MessageCursor(conversation: id, seq: Seq(9), hashPrefix: 3),
                time: Timestamp(milliseconds: 1_700_000_000_000), sender: "bob", text: "text", about: Seq(8)))
        func isMessage(_ change: (inout MessageObject) -> Void) -> Bool {
            var changed = object
            change(&changed)
            return changed.message != nil
        }
        #expect(isMessage { $0.text = String(repeating: "x", count: 65_536) })
        #expect(isMessage { $0.sender = String(repeating: "x", count: 64) })
        #expect(!isMessage { $0.text = String(repeating: "x", count: 2 << 20) })
        #expect(!isMessage { $0.text += String(repeating: "x", count: 65_533) })
        #expect(!isMessage { $0.sender = String(repeating: "x", count: 65) })
        #expect(!isMessage { $0.about = 9 })
        #expect(!isMessage { $0.about = 0 })
        #expect(!isMessage { $0.seq = .max })
        #expect(!isMessage { $0.ts = .max })
    }

    @Test("an unknown field or word costs what any text of its length costs, whatever it is")
    func longNames() throws {
        func cost(_ name: String) throws -> Int {
            let body =
                #"{"\#(name)":1,"text":"a","x":{"\#(name)":[]},"\#(name)":"b","conversation":"general","kind":"\#(name)"}"#
            let start = ThreadTime.now()
            let request = try WireJSON.decode(SendRequest.self, from: Array(body.utf8))
            #expect(request.conversation == "general" && request.text == "a")
            #expect(MessageKind(name: name) == nil && ConversationKind(name: name) == nil && Retention(name) == nil)
            let error = #"{"error":{"code":"\#(name)","message":"m"}}"#
            #expect(ErrorCode(rawValue: try WireJSON.decode(ErrorBody.self, from: Array(error.utf8)).error.code) == nil)
            return ThreadTime.now() - start
        }
        _ = try cost("warm up")
        let usual = try cost(String(repeating: "\u{44F}", count: 64_000))
        // Marks of two classes in turn, which a comparison of strings must sort.
        #expect(try cost(String(repeating: "\u{301}\u{316}", count: 32_000)) < 10 * usual)
    }

    @Test(
        "an answer with a run of marks that would take seconds to compare is malformed, but for the texts of messages")
    func runs() throws {
        func users(_ name: String, _ seen: String) throws -> UserList {
            let body = #"{"users":[{"name":"\#(name)","online":true,"last_seen":"\#(seen)"}],"more":false,"next":null}"#
            return try WireJSON.decode(answer: Array(body.utf8))
        }
        let run = String(repeating: "\u{301}\u{316}", count: 1_000)
        // Also as escapes, and where a letter comes before and after
        let forms = [run, run.unicodeScalars.map { "\\u0\(String($0.value, radix: 16))" }.joined(), "a\(run)b"]
        for form in forms {
            #expect(throws: WireJSON.Failure.malformed) { _ = try users("alice", form) }
            #expect(throws: WireJSON.Failure.malformed) { _ = try users(form, "2026-11-22T10:00:00.000Z") }
            let error = #"{"error":{"code":"bad_name","message":"m","text":"\#(form)"}}"#
            #expect(try WireJSON.decode(ErrorBody.self, answer: Array(error.utf8)).error.code == "bad_name")
        }
        // A text ends with its field, and has one name
        for field in [#""a":[{"text":1},"\#(run)"]"#, #""text":["\#(run)"]"#, #""\u0074ext":"\#(run)""#] {
            let error = #"{"error":{"code":"bad_name","message":"m"},\#(field)}"#
            #expect(throws: WireJSON.Failure.malformed) {
                _ = try WireJSON.decode(ErrorBody.self, answer: Array(error.utf8))
            }
        }
        // But not where a string is long without such a run
        let letters = String(repeating: "e\u{301}\u{316}", count: 10_000)
        #expect(try users(letters, "").items.first?.name == letters)
    }

    @Test("hand-written JSON has the same bytes as the encoder's", arguments: UInt64(1)...200)
    func sameAsEncoder(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let messages = (0..<Int.random(in: 0...3, using: &generator)).map { _ in message(&generator, hasFiles: true) }
        for message in messages { #expect(WireJSON.encode(message) == (try encoded(message)), "seed \(seed)") }
        let conversations = (0..<Int.random(in: 0...3, using: &generator)).map { _ in
            ConversationObject(
                name: text(10, &generator), id: text(4, &generator), kind: "group", first: generator.next(),
                head: generator.next(), hash: text(4, &generator), read: generator.next(), unread: generator.next(),
                topic: [nil, .some(nil), text(5, &generator)].randomElement(using: &generator) ?? nil,
                last: Bool.random(using: &generator) ? nil : message(&generator),
                type: Bool.random(using: &generator) ? "conversation" : nil)
        }
        for one in conversations { #expect(WireJSON.encode(one) == (try encoded(one)), "seed \(seed)") }
        for message in messages {
            var line = try WireJSON.decode(ExportLine.self, from: encoded(message))
            if Bool.random(using: &generator) { line.seq = nil }
            #expect(WireJSON.encode(line) == (try encoded(line)), "seed \(seed)")
            let group = Bool.random(using: &generator) ? ConversationID(using: &generator) : nil
            let request = SendRequest(
                conversation: message.conversation, conversationID: group, text: message.text, id: message.kind)
            #expect(WireJSON.encode(request) == (try encoded(request)), "seed \(seed)")
        }
        let isMore = Bool.random(using: &generator)
        let page = MessageList(messages: messages, head: generator.next(), more: isMore, next: generator.next())
        #expect(WireJSON.encode(page) == (try encoded(page)), "seed \(seed)")
        let list = ConversationList(conversations, more: isMore, next: isMore ? text(5, &generator) : nil)
        #expect(WireJSON.encode(list) == (try encoded(list)), "seed \(seed)")
    }

    /// It has the shape of a `SendRequest`, and so is read by the decoder.
    private struct Twin: Decodable, Equatable {
        let fields: [String?]

        init(_ request: SendRequest) {
            fields = [request.conversation, request.conversationID?.description, request.text, request.id]
        }
        init(from decoder: any Decoder) throws { self.init(try SendRequest(from: decoder)) }
    }

    private func outcome<Value>(_ read: () throws(WireJSON.Failure) -> Value) -> Result<Value, WireJSON.Failure> {
        do throws(WireJSON.Failure) { return .success(try read()) } catch { return .failure(error) }
    }

    /// Some JSON with up to three bytes or pieces changed.
    private func changed(_ text: String, _ pieces: [String], _ generator: inout SeededGenerator) -> [UInt8] {
        var bytes = Array(text.utf8)
        for _ in 0..<Int.random(in: 0...3, using: &generator) {
            let place = Int.random(in: 0...bytes.count, using: &generator)
            switch Int.random(in: 0..<3, using: &generator) {
            case 0: bytes.insert(contentsOf: (pieces.randomElement(using: &generator) ?? "").utf8, at: place)
            case 1: if place < bytes.count { bytes.remove(at: place) }
            default: if place < bytes.count { bytes[place] = UInt8.random(in: 0...255, using: &generator) }
            }
        }
        return bytes
    }

    @Test("a sync's end line is read as the decoder does it, or not at all", arguments: UInt64(1)...50)
    func plainEnd(seed: UInt64) throws {
        let models = [
            #"{"cursor":"abc","more":false,"type":"end"}"#, #" { "type":"end" , "more":true,"cursor":"é"} "#,
            #"{"cursor":"abc","more":false,"type":"end","type":"end"}"#, #"{"cursor":"a","more":"true","type":"end"}"#,
            #"{"cursor":"abc","cursor":"abc","type":"end"}"#, #"{"cursor":"abc","more":false,"type":"read"}"#,
            #"{"cursor":true,"more":false,"type":"end"}"#, #"{"cursor":"abc","more":null,"type":"end"}"#,
        ]
        let pieces = ["\"", "\\", "{", "}", ",", ":", " ", "\0", "true", "false", #""more":true,"#, "\u{7F}", "é"]
        var generator = SeededGenerator(seed: seed)
        for round in 0..<300 {
            let bytes = changed(models[round % models.count], pieces, &generator)
            guard let end = SyncEnd(plain: bytes) else { continue }
            #expect(
                outcome { () throws(WireJSON.Failure) in try WireJSON.decode(SyncEnd.self, from: bytes) }
                    == .success(end),
                "seed \(seed): \(String(decoding: bytes, as: UTF8.self).debugDescription)")
        }
        // The form that a server writes needs no decoder.
        let end = SyncEnd(cursor: "ImxQ2FcXsoHI", more: Bool.random(using: &generator))
        #expect(SyncEnd(plain: WireJSON.encode(end)) == end)
        #expect(try WireJSON.encode(end) == encoded(end))
    }

    @Test("an answer taken for a message without the decoder is one with it", arguments: UInt64(1)...50)
    func plainAnswer(seed: UInt64) throws {
        struct Stored: Decodable { let seq: UInt64 }
        let models = [
            #"{"seq":7}"#, #" { "text" : "a\nb\u00e9" , "seq" : 1234567890123456789 , "about" : null } "#,
            #"{"seq":0}"#,
            #"{"seq":1,"seq":2}"#, #"{"seq":"7"}"#, #"{"seq":01}"#, #"{"seq":7.5}"#, #"{"seq":7e1}"#, #"{"text":"7"}"#,
            #"{"seq":99999999999999999999}"#, #"[{"seq":7}]"#, #"{"seqs":7,"erased":true}"#, #"{}"#, "7", "<html>",
        ]
        let pieces = ["\"", "\\", "{", "}", "[", ",", ":", " ", "\0", "0", "9", "null", "true", "\"seq\":3,", "é"]
        var generator = SeededGenerator(seed: seed)
        for round in 0..<300 {
            let bytes = changed(models[round % models.count], pieces, &generator)
            guard WireJSON.isFlatObject(bytes, withNumber: "seq") else { continue }
            let decoded = outcome { () throws(WireJSON.Failure) in
                (try WireJSON.decode(Stored.self, from: bytes)).seq > 0
            }
            #expect(
                decoded == .success(true), "seed \(seed): \(String(decoding: bytes, as: UTF8.self).debugDescription)")
        }
        // The form that a server writes needs no decoder.
        #expect(WireJSON.isFlatObject(WireJSON.encode(message(&generator)), withNumber: "seq"))
    }

    @Test("a message is read, or refused, as the decoder does it", arguments: UInt64(1)...100)
    func sameAsDecoder(seed: UInt64) throws {
        let models = [
            #"{"conversation":"general","text":"hello"}"#, #"{"text":"é","conversation":"@bob","id":"a 1"}"#,
            #" { "text" : "a\nb\u00e9" , "conversation" : "general" , "id" : null } "#,
            #"{"conversation":"general","text":"one","text":"two"}"#, #"{"conversation":"x","text":"y","more":"z"}"#,
            #"{"conversation":"general","text":7}"#, #"{"conversation":"general"}"#, #"{}"#, #"[]"#, #""text""#,
            #"{"conversation":"general","text":true}"#, #"{"conversation":"general","text":"x","id":false}"#,
            #"{"conversation":"general","text":"x","more":true}"#,
            #"{"conversation":"x","conversation_id":"00112233445566778899aabbccddeeff","text":"y"}"#,
            #"{"conversation_id":"00112233445566778899aabbccddeeff","text":"y","id":"z"}"#,
            #"{"conversation_id":null,"conversation":"x","text":"y"}"#, #"{"conversation_id":"x","text":"y"}"#,
            #"{"conversation":"x","conversation_id":"00112233445566778899AABBCCDDEEFF","text":"y"}"#,
        ]
        let pieces = [
            "\"conversation_id\":\"00112233445566778899aabbccddeeff\",",
            "\"", "\\", "{", "}", ",", ":", " ", "\t", "\n", "\0", "id", "text", "\"id\":\"x\",", "null", "\u{7F}", "é",
        ]
        var generator = SeededGenerator(seed: seed)
        for round in 0..<300 {
            let bytes = changed(models[round % models.count], pieces, &generator)
            let read = outcome { () throws(WireJSON.Failure) in try WireJSON.decode(SendRequest.self, from: bytes) }
            let twin = outcome { () throws(WireJSON.Failure) in try WireJSON.decode(Twin.self, from: bytes) }
            #expect(
                read.map { Twin($0) } == twin,
                "seed \(seed): \(String(decoding: bytes, as: UTF8.self).debugDescription)")
        }
    }
}

@Suite("errors in parts, for translation")
struct ErrorBodyTests {
    private func decoded(_ text: String) throws -> ErrorBody.Detail {
        try WireJSON.decode(ErrorBody.self, from: Array(text.utf8)).error
    }

    @Test("phrases in phrases and plurals arrive as they were sent")
    func roundTrip() throws {
        let inner: Phrase = .plural(3, "\(3) byte", "\(3) bytes")
        var body = ErrorBody(.damaged, "the block has \(inner) of 100% ('\("a\n")')", from: 1, to: 2)
        body.line = 3
        #expect(body.error.message == "the block has 3 bytes of 100% ('a\n')")
        let back: ErrorBody = try WireJSON.decode(from: WireJSON.encode(body))
        #expect(back == body)
        #expect(back.error.phrase?.phrase.english == body.error.message)
    }

    @Test("parts that are missing or of another form leave the message")
    func lenient() throws {
        let deep = String(repeating: #"{"key":"%s","values":["#, count: 200) + String(repeating: "]}", count: 200)
        for phrase in ["7", "null", "{}", #"{"key":1,"values":[]}"#, #"{"key":"a","values":[{"b":1}]}"#, deep] {
            let detail = try decoded(#"{"error":{"code":"busy","message":"wait","phrase":"# + phrase + "}}")
            #expect(detail.message == "wait" && detail.phrase == nil, "\(phrase.prefix(40))")
        }
        #expect(try decoded(#"{"error":{"code":"busy","message":"wait"}}"#).phrase == nil)
    }
}
