internal import TestSupport

/// One HTTP request, byte for byte as it is given, on a connection of its own.
enum RawRequest {
    /// - Parameter url: of a server on 127.0.0.1.
    static func send(
        _ method: String, _ target: String, to url: String, token: String? = nil, headers: [String] = [],
        body: [UInt8] = [], timeoutSeconds: Int? = nil
    ) throws -> Answer {
        let client = try RawClient(url, timeoutSeconds: timeoutSeconds ?? ChildProcess.patienceMilliseconds / 1_000)
        let hasBody = !body.isEmpty || ["POST", "PUT", "PATCH"].contains(method)
        return try client.request(
            method, target, headers: ["Connection: close"] + headers, token: token, body: hasBody ? body : nil)
    }
}

extension Answer {
    /// The code of an error's object.
    var code: String? { (try? JSON(parsing: text))?[object: "error"]?[string: "code"] }
}
