// The names that Helia imports; none of them is called.
export const webRTC = () => { throw new Error('there is no WebRTC in these tests') }
export const webRTCDirect = webRTC
