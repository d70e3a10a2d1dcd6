import "../components/shop.css";
import { Shop } from "../components/shop";

export default function App({ Component, pageProps }) {
  return (
    <Shop navigation={pageProps.navigation ?? []}>
      <Component {...pageProps} />
    </Shop>
  );
}
