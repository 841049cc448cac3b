/// The header by which the answer to a personal message says whether its recipient is online.
public enum RecipientHeader {
    public static let name = "Natter-Recipient"
    public static let online = "online"
    public static let offline = "offline"
}
