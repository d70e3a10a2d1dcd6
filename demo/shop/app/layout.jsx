import "../components/shop.css";
import { Shop } from "../components/shop";
import { fromOrigin } from "../lib/origin";

export const metadata = { title: "The demo shop" };

export default async function Layout({ children }) {
  const navigation = await fromOrigin("/navigation", { revalidate: 3600, tags: ["navigation"] });
  return (
    <html lang="en">
      <body>
        <Shop navigation={navigation}>{children}</Shop>
      </body>
    </html>
  );
}
