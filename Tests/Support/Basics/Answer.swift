/// An HTTP answer as it came.
package struct Answer: Sendable, CustomStringConvertible {
    package let status: Int
    package let headers: [(name: String, value: String)]
    package let body: [UInt8]

    package init(status: Int, headers: [(name: String, value: String)], body: [UInt8]) {
        (self.status, self.headers, self.body) = (status, headers, body)
    }

    /// The header of this name; nil also if there are several.
    package func header(_ name: String) -> String? {
        let found = headers.filter { $0.name.lowercased() == name.lowercased() }
        return found.count == 1 ? found[0].value : nil
    }

    package var text: String { String(decoding: body, as: UTF8.self) }

    /// The status and all headers, a line each.
    package var head: String { "\(status)\r\n" + headers.map { "\($0.name): \($0.value)\r\n" }.joined() }

    package var description: String { "\(head)\r\n\(text)" }
}
