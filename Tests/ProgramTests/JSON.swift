internal import Foundation
internal import TestSupport

/// A JSON object that a program wrote.
struct JSON {
    private let object: [String: Any]

    init(parsing text: String) throws {
        guard let object = try? JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any] else {
            throw Failure("not a JSON object: \(text)")
        }
        self.object = object
    }

    private init(object: [String: Any]) { self.object = object }

    subscript(string name: String) -> String? { object[name] as? String }
    subscript(int name: String) -> Int? { object[name] as? Int }
    subscript(bool name: String) -> Bool? { object[name] as? Bool }
    subscript(object name: String) -> JSON? { (object[name] as? [String: Any]).map { JSON(object: $0) } }
    subscript(objects name: String) -> [JSON] { (object[name] as? [[String: Any]] ?? []).map { JSON(object: $0) } }
    func hasNull(_ name: String) -> Bool { object[name] is NSNull }
    var names: [String] { object.keys.sorted() }

    /// One line of JSON for a message to import.
    static func line(ts: Int, sender: String, text: String) -> String {
        "{\"ts\":\(ts),\"sender\":\(quoted(sender)),\"text\":\(quoted(text))}\n"
    }

    private static func quoted(_ text: String) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .withoutEscapingSlashes
        return (try? encoder.encode(text)).map { String(decoding: $0, as: UTF8.self) } ?? "\"\""
    }
}

extension Outcome {
    /// The lines as JSON objects.
    func objects() throws -> [JSON] { try lines.map { try JSON(parsing: $0) } }
}
